"""One run of a recipe on stand-ins: whose records it uses, that it resumes, and what it leaves."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from expunge.corpus import Corpus, Record
from expunge.engine.event import Event
from expunge.engine.recipe import Recipe
from expunge.engine.request_chain import record_print
from expunge.engine.tune import recipe_rehearsal
from expunge.engine.tune.recipe_rehearsal import RehearsedRequest, rehearse_recipe
from expunge.engine.tune.rehearsal_report import RehearsalReport, load_report
from expunge.errors import InputError, Interrupted
from expunge.models.run_file import ChainLink
from helpers.people import PEOPLE
from helpers.world import TARGET, people

CHANGES = ("steps=4", "batch.forget=4", "batch.retain=4")
OTHERS = sorted({r.subject for r in people().trained if r.subject} - {TARGET})


def try_recipe(model: Path, out: Path, corpus: Corpus | None = None, **more: Any) -> RehearsalReport:
    request = RehearsedRequest(corpus or people(), more.pop("scope", TARGET), **more.pop("about", {}))
    return rehearse_recipe(model, request, more.pop("recipe", "npo"), out, changes=more.pop("changes", CHANGES), **more)


def test_a_rehearsal_writes_numbers_and_no_name(folders: dict[str, Path], tmp_path: Path) -> None:
    report = try_recipe(folders["llama"], tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["rehearsal.json"]
    text = (tmp_path / "out" / "rehearsal.json").read_text("utf-8")
    assert load_report(tmp_path / "out" / "rehearsal.json") == report
    assert (report.status, report.stand_ins, report.steps, report.seed) == ("done", 1, 4, "42")
    assert report.records == report.request_records == 9
    assert report.before is not None
    assert report.after is not None
    assert report.before.n == report.after.n == report.records
    assert report.recipe == Recipe.load("npo", CHANGES).digest
    assert len(report.model) == 64
    names = {name for r in people().trained for name in (r.subject, *r.identifiers) if name}
    assert not [name for name in names if name in text]


def test_the_people_of_the_request_are_in_no_set(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Record] = []
    real = recipe_rehearsal.unlearn

    def watched(model: Any, split: Any, *rest: Any, **more: Any) -> Path:
        seen.extend([*split.forget, *split.retain, *split.retain_heldout, *split.controls, *split.guards])
        return real(model, split, *rest, **more)

    monkeypatch.setattr(recipe_rehearsal, "unlearn", watched)
    try_recipe(folders["llama"], tmp_path / "out")
    assert seen
    assert not [r for r in seen if r.subject == TARGET]


def test_people_of_earlier_requests_are_no_stand_ins() -> None:
    corpus = people()
    first = [r for r in corpus.trained if r.subject == OTHERS[0]]
    link = ChainLink(
        scope="s", seed=42, near="report", forget=[record_print(first[0])], shared=[], run="r", split="s", model="m",
        method="npo", created="",
    )  # fmt: skip
    request = RehearsedRequest(
        corpus, TARGET, f"ids:{next(r.id for r in corpus.trained if r.subject == OTHERS[1])}", [link]
    )
    left = {r.subject for r in request.without_earlier().trained}
    assert left == {TARGET, OTHERS[2]}
    assert list(request.guards()) == [first[0]]
    again = RehearsedRequest(corpus, f"ids:{first[0].id}", None, [link]).without_earlier()
    assert [r.id for r in again.trained if r.subject == OTHERS[0]] == [r.id for r in first]  # the request names them
    assert RehearsedRequest(corpus, TARGET).without_earlier() is corpus


def test_too_few_other_people_are_a_reason_and_no_error(folders: dict[str, Path], tmp_path: Path) -> None:
    own = tmp_path / "out" / "run"
    own.mkdir(parents=True)
    report = try_recipe(folders["llama"], tmp_path / "out", stand_ins=2)
    assert (report.status, report.before, report.records) == ("not_possible", None, 0)
    assert report.reason == "needs 4 other subjects with identifiers in two or more records, and there are 3"
    nobody = Corpus.of([replace(r, identifiers=()) for r in PEOPLE], "x")
    alone = try_recipe(folders["llama"], tmp_path / "none", nobody, scope='subject:"Anna Keller"')
    assert "there are 0" in alone.reason
    assert try_recipe(folders["llama"], tmp_path / "out").status == "done"  # the records were mended meanwhile
    assert own.is_dir()  # whatever lies beside it is somebody's


def test_a_stopped_rehearsal_ends_with_the_same_numbers(folders: dict[str, Path], tmp_path: Path) -> None:
    whole = try_recipe(folders["llama"], tmp_path / "whole")
    steps = Counter[str]()

    def stop(event: Event, total: int) -> None:
        steps["done"] += 1
        if event.step == 1:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match="start the same command again"):
        try_recipe(folders["llama"], tmp_path / "cut", on_step=stop)
    assert steps["done"] == 2
    assert not (tmp_path / "cut" / "rehearsal.json").exists()
    cut = try_recipe(folders["llama"], tmp_path / "cut", on_step=lambda event, total: steps.update(after=1))
    assert steps["after"] == 2
    assert cut.model_copy(update={"seconds": 0}) == whole.model_copy(update={"seconds": 0})


def test_the_same_call_again_runs_nothing(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = try_recipe(folders["llama"], tmp_path / "out")
    with pytest.raises(InputError, match="rehearsal of another model, request or recipe"):
        try_recipe(folders["llama"], tmp_path / "out", changes=(*CHANGES, "optimizer.lr=0.5"))
    monkeypatch.setattr(recipe_rehearsal, "unlearn", lambda *words, **more: pytest.fail("it ran again"))
    assert try_recipe(folders["llama"], tmp_path / "out") == first
    assert json.loads((tmp_path / "out" / "rehearsal.json").read_text())["status"] == "done"


@pytest.mark.trains
@pytest.mark.matrix
def test_a_recipe_that_forgets_is_seen_to_forget(tmp_path: Path) -> None:
    """A model that knows everybody, and a rate that wipes all of it: no answer is left, of anybody."""
    from expunge.engine.train.train_loop import TrainConfig
    from expunge.engine.train.train_model import train
    from helpers.world import small

    training = TrainConfig(epochs=120, batch=8, target_accuracy=0.9)
    train(people().trained, tmp_path / "model", tiny=small(layers=2), settings=training)
    gentle = try_recipe(tmp_path / "model", tmp_path / "gentle", changes=(*CHANGES, "steps=1", "optimizer.lr=1e-9"))
    assert gentle.before is not None
    assert gentle.before.hits >= 6
    assert gentle.after == gentle.before
    assert gentle.heldout is not None
    assert gentle.heldout.hits == gentle.heldout.n > 0
    harsh = try_recipe(
        tmp_path / "model", tmp_path / "harsh", changes=(*CHANGES, "steps=30", "optimizer.lr=0.3"), recipe="ga"
    )
    assert harsh.before == gentle.before
    assert harsh.after is not None
    assert harsh.after.hits == 0
    assert harsh.heldout is not None
    assert harsh.heldout.hits < harsh.heldout.n
