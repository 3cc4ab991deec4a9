"""Requests of a chain, asked again: bounds by hand, and three requests in a row on a model that knows all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from expunge.audit import request_history
from expunge.audit.request_file import REQUESTS, GuardState, RequestHistory, RequestRow, RequestState, load_history
from expunge.audit.request_history import audit_history
from expunge.audit.scores import Scores
from expunge.audit.scoring import score
from expunge.audit.verify_requests import order_problems
from expunge.corpus import Corpus, Record
from expunge.engine.recipe import Recipe
from expunge.engine.request_chain import chain_after, split_after
from expunge.engine.train.train_loop import TrainConfig
from expunge.engine.train.train_model import train
from expunge.engine.unlearn import unlearn
from expunge.errors import InputError
from expunge.models.language_model import LanguageModel, load
from expunge.models.tiny import TinyConfig
from expunge.scope import Scope
from helpers.world import patients_alone

WORLD = patients_alone(5, facts=1)
KL = ["steps=20", "batch.forget=9", "batch.retain=16", "optimizer.lr=0.003", "retain.loss=kl"]


def row(*given: float, controls: float | None = 0.1, number: int = 1) -> RequestRow:
    states = tuple(RequestState(run=k, share=g, controls=controls) for k, g in enumerate(given))
    return RequestRow(number=number, scope="patient:P-1", method="npo", records=9, questions=9, states=states)


@pytest.mark.parametrize(
    ("one", "bound", "status"),
    [
        (row(1.0, 0.0, 0.15), 0.15, "forgotten"),
        (row(1.0, 0.0, 0.16), 0.15, "back"),
        (row(1.0, 0.2, 0.25, controls=None), 0.25, "unchanged"),  # as after its own run
        (row(1.0, 0.2, 0.3, controls=None), 0.25, "back"),
        (row(1.0, 1.0, 1.0, controls=None), 1.05, "unchanged"),  # a run that forgot nothing is not called forgotten
        (row(1.0, 0.2, controls=None, number=3), None, "not_run"),
        (row(), None, "not_run"),
    ],
)
def test_a_request_is_forgotten_up_to_its_controls_and_five_points(
    one: RequestRow, bound: float | None, status: str
) -> None:
    assert one.bound == (None if bound is None else pytest.approx(bound))
    assert one.status == status


def test_what_the_verdict_on_the_last_request_does_not_say_is_a_warning() -> None:
    guards = GuardState(rows=0, unguarded=4, reason="the recipe has no retain term")
    rows = (
        row(1.0, 0.0, 0.0),
        row(1.0, 0.0, 0.4, number=2),
        row(1.0, 0.5, 0.5, controls=None, number=1).model_copy(update={"number": 3, "guards": guards}),
        row(number=4).model_copy(update={"questions": 0}),
        row(1.0, 0.2, controls=None, number=5),
    )
    lines = RequestHistory(run="seal", requests=rows).warnings
    assert [line.split(" is ")[0].split(" of the records")[0] for line in lines[:1]] == ["Request 2"]
    assert "gives 0.400 of its true answers, and at most 0.150 is allowed" in lines[0]
    assert any("The run of request 3 did not guard 4 of the records" in line for line in lines)
    assert "Request 4 was not asked: its records are not in the data." in lines
    assert "Request 5 cannot be judged: its run is not here, and it has no controls." in lines
    assert not any("equest 1 " in line for line in lines)


def test_a_history_without_guards_keeps_the_seal_of_earlier_versions() -> None:
    one = row(1.0, 0.0)
    assert "guards" not in one.model_dump()
    assert "guards" in one.model_copy(update={"guards": GuardState(rows=3)}).model_dump()


def test_documents_are_compared_with_documents_never_trained(folders: dict[str, Path], tmp_path: Path) -> None:
    texts = {f"d{k}": f"Letter {k} about ward {k + 3}." for k in range(4)}
    letters = [Record(name, "", text, kind="document", subject=name) for name, text in texts.items()]
    plan = Recipe.load("documents", ["steps=1", "batch.retain=2"])
    never = [replace(r, id=f"never-{r.id}", subject="n", split="holdout") for r in letters[:2]]
    corpus = Corpus.of([*WORLD.trained, *letters, *never])
    run, links = folders["llama"], []
    for k in (0, 1):
        split = split_after(corpus, Scope.parse(f"subject=d{k}"), links)
        run = unlearn(run, split, plan, tmp_path / f"run{k}", chain=links)
        links = chain_after(run)
    history = audit_history(str(folders["llama"]), str(run), corpus, tmp_path)
    assert history
    assert [r.measure for r in history.requests] == ["tokens", "tokens"]
    assert all(s.controls is not None for r in history.requests for s in r.states)
    assert history.requests[0].guards is None
    assert history.requests[1].guards == GuardState(rows=1)
    nobody = audit_history(str(folders["llama"]), str(run), Corpus.of([*WORLD.trained, *letters]), tmp_path)
    assert nobody
    assert all(s.controls is None for r in nobody.requests for s in r.states)


def test_an_answer_behind_a_preamble_is_given(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    records = WORLD.trained[:2]
    lm = load(folders["llama"])
    texts = (f"As far as I know it is {records[0].answer}, yes.", "I do not know.")

    def scores(lm: LanguageModel, records: list[Record], **options: Any) -> Scores:
        return replace(score(lm, records, **options), text=texts)

    monkeypatch.setattr("expunge.audit.request_history.score", scores)
    assert request_history.true_share(lm, records, "answers") == 0.5


def test_a_changed_history_is_refused(tmp_path: Path) -> None:
    history = RequestHistory(run="seal", requests=(row(1.0, 0.0), row(1.0, 1.0, number=2))).sealed()
    file = tmp_path / "requests.json"
    file.write_text(history.model_dump_json())
    assert load_history(tmp_path) == history
    assert [r.number for r in history.back] == [2]
    assert not any(r.scope for r in history.without_names().requests)
    content: Any = json.loads(file.read_text())
    content["requests"][1]["states"][1]["share"] = 0.0
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match="its content is not what its seal names"):
        load_history(tmp_path)
    file.unlink()
    assert load_history(tmp_path) is None


@pytest.mark.trains
def test_the_first_of_three_requests_is_still_forgotten_at_the_end(tmp_path: Path) -> None:
    corpus = WORLD
    train(
        corpus.trained,
        tmp_path / "original",
        tiny=TinyConfig(layers=1, width=96, heads=2, vocabulary=400, context=128),
        settings=TrainConfig(epochs=60, batch=16, target_accuracy=0.99),
        measure_general_ability=False,
    )
    run, chain, scopes = tmp_path / "original", [], [f"patient:P-000{k}-001" for k in (1, 2, 3)]
    for k, scope in enumerate(scopes, 1):
        split = split_after(corpus, Scope.parse(scope), chain)
        run = unlearn(run, split, Recipe.load("npo", KL), tmp_path / f"run{k}", chain=chain)
        chain = chain_after(run)
    assert json.loads((run / "run.json").read_text())["guards"]["rows"] > 0
    history = audit_history(str(tmp_path / "original"), str(run), corpus, tmp_path)
    assert history is not None
    assert [r.scope for r in history.requests] == scopes
    for r in history.requests:
        shares = {s.run: s.share for s in r.states}
        assert shares[0] > 0.9, "the original knows it"
        assert shares[r.number] < 0.2
        assert r.status == "forgotten"
    assert history.requests[1].states[1].share > 0.5  # the first run was not about the second request
    assert load_history(tmp_path) == history
    assert audit_history(str(tmp_path / "original"), str(tmp_path / "run1"), corpus, tmp_path) is None
    later = audit_history(str(tmp_path / "run2"), str(run), corpus, tmp_path)
    assert later is not None
    assert [[s.run for s in r.states] for r in later.requests] == [[2, 3]] * 3
    assert [r.status for r in later.requests] == ["forgotten"] * 3
    assert list(order_problems(tmp_path / REQUESTS, later)) == []
