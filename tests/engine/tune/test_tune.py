"""A recipe that is found on stand-ins: they are chosen without the target, and the search resumes."""

from __future__ import annotations

import builtins
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from expunge.corpus import Corpus, Record
from expunge.engine.auto_recipe import ModelFacts
from expunge.engine.recipe import Recipe
from expunge.engine.tune.rehearsal_run import RehearsalStage
from expunge.engine.tune.search import SearchSpace, TuneProgress
from expunge.engine.tune.stand_ins import choose_stand_ins, rehearse, without_target
from expunge.engine.tune.tune_recipe import TuneResult, tune
from expunge.errors import InputError, Interrupted
from helpers.people import person
from helpers.world import TARGET, people

pytest.importorskip("optuna")


def corpus() -> Corpus:
    """The four patients, and controls of the first that carry its id."""
    controls = [
        replace(r, id=f"c{r.id}", subject="control", split="control", attributes={"control_of": TARGET})
        for r in people().trained
        if r.subject == TARGET
    ]
    return Corpus.of([*people().records, *controls], "people")


def search(model: Path, out: Path, **changes: Any) -> TuneResult:
    options: dict[str, Any] = {"trials": 2, "steps": 4, "retention": 0.0, "base": "npo"}
    return tune(model, corpus(), TARGET, out, **(options | changes))


def test_nothing_of_the_target_is_in_a_rehearsal() -> None:
    rehearsal = rehearse(corpus(), TARGET)
    split = rehearsal.split
    sets = (split.forget, split.retain, split.retain_heldout, split.holdout, split.controls, split.shared)
    records: list[Record] = [r for part in sets for r in part]
    names = {name for r in people().trained if r.subject == TARGET for name in r.identifiers}
    assert records
    assert not any(r.subject == TARGET or r.attributes.get("control_of") == TARGET for r in records)
    assert not any(name in r.prompt for r in records for name in names)
    assert rehearsal.target_records == sum(r.subject == TARGET for r in people().trained)
    assert rehearsal.subjects[0] != TARGET
    assert {r.subject for r in split.forget} == set(rehearsal.subjects)


def test_all_records_of_a_subject_go_where_the_scope_names_one(  # a part of a person is still that person
) -> None:
    one = next(r for r in people().trained if r.subject == TARGET)
    rest, target = without_target(corpus(), f"ids:{one.id}")
    assert [r.id for r in target] == [one.id]
    assert not any(r.subject == TARGET for r in rest.records)


def test_what_nearly_repeats_the_target_is_in_no_rehearsal_under_take() -> None:
    one = next(r for r in people().trained if r.subject == TARGET)
    other = next(r for r in people().trained if r.subject != TARGET)
    copy = replace(one, id="copy", subject=other.subject, path=other.path, facts=())
    repeat = replace(copy, id="repeat", prompt=f"{one.prompt} now")
    for added in (repeat, copy):
        split = rehearse(Corpus.of([*people().records, added]), TARGET, near="take").split
        names = {r.id for part in (split.forget, split.retain, split.retain_heldout) for r in part}
        assert added.id not in names
        assert other.id in names
    with pytest.raises(InputError, match=r'a copy of what is to be forgotten \("copy"\)'):
        rehearse(Corpus.of([*people().records, copy]), TARGET)


def test_stand_ins_have_about_as_many_records() -> None:
    rows = [r for k in range(6) for r in person(f"Ada P{k}", f"555-00{k}", "aspirin")]
    rows += [replace(rows[0], id="more", prompt="City of Ada P0?")]
    made = Corpus.of(rows, "x")
    assert choose_stand_ins(made, 1, 3, 1) == ("Ada P0",)
    assert "Ada P0" not in choose_stand_ins(made, 3, 2, 1)
    drawn = Counter(choose_stand_ins(made, 1, 2, seed)[0] for seed in range(20))
    assert len(drawn) > 2
    with pytest.raises(InputError, match="needs 9 other subjects"):
        choose_stand_ins(made, 7, 2, 1)


def test_the_space_lies_around_the_rules() -> None:
    space = SearchSpace.of(ModelFacts(30, 576), 24)
    assert space.layers == ("8", "15", "all")
    assert space.rates == pytest.approx((0.003, 0.002, 0.001))
    assert space.steps == 240
    assert space.looks == (30, 60, 120, 240)
    changes = space.overrides({"rate": 0.5, "layers": "all", "retain_weight": 32.0})
    recipe = Recipe.load("twin", changes)
    assert (recipe.optimizer.lr, recipe.train.layers, recipe.retain.weight) == (0.0005, "all", 32.0)
    assert (recipe.formats, recipe.settings["floors"]) == (2, "surrogate")  # what the rules set and no trial varies
    small = SearchSpace.of(ModelFacts(4, 128), 24)
    assert (small.layers, small.rates, small.steps) == (("all", "2"), (0.003, 0.003), 280)
    assert small.first == {"rate": 1.0, "layers": "all", "retain_weight": 64.0}


def test_a_search_writes_a_recipe_and_its_trials(folders: dict[str, Path], tmp_path: Path) -> None:
    seen: list[TuneProgress] = []
    result = search(folders["llama"], tmp_path / "recipe.yaml", on_progress=seen.append)
    recipe = Recipe.load(result.recipe)
    assert recipe.method == "npo"
    assert recipe.stop.when == "controls"
    assert recipe.steps == 2 * result.best.step
    trials = json.loads((tmp_path / "recipe.trials.json").read_text())
    assert [t["trial"] for t in trials["trials"]] == [1, 2]
    assert trials["stand_ins"] == list(result.stand_ins)
    assert result.best.value(0.0) == min(look["value"] for t in trials["trials"] for look in t["looks"])
    assert seen[-1].trial == 2
    assert 0 < seen[-1].done <= 1


def test_a_stopped_search_ends_with_the_trials_of_one_that_was_not(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = search(folders["llama"], tmp_path / "whole.yaml", trials=3)
    calls = Counter[str]()

    def stop(progress: TuneProgress) -> None:
        calls["looks"] += 1
        if calls["looks"] == 4:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match="start the same command again"):
        search(folders["llama"], tmp_path / "cut.yaml", trials=3, on_progress=stop)
    assert not (tmp_path / "cut.yaml").exists()
    cut = search(folders["llama"], tmp_path / "cut.yaml", trials=3)
    strip = [{k: v for k, v in t.items() if k not in ("seconds", "trial")} for t in whole.trials]
    finished = [t for t in cut.trials if t["state"] != "fail"]
    assert [{k: v for k, v in t.items() if k not in ("seconds", "trial")} for t in finished] == strip
    assert cut.changes == whole.changes
    with pytest.raises(InputError, match="holds the trials of another"):
        search(folders["llama"], tmp_path / "cut.yaml", seed=7)


def test_the_model_is_the_same_after_every_trial(folders: dict[str, Path], tmp_path: Path) -> None:
    from expunge.models.language_model import load

    lm = load(folders["llama"])
    before = {name: p.detach().clone() for name, p in lm.module.named_parameters()}
    stage = RehearsalStage(lm, rehearse(corpus(), TARGET).split, 1)
    looks: list[Any] = []
    plan = Recipe.load("twin", ["steps=3", "settings.candidates=2", "train.layers=1", "batch.retain=4"])
    for _ in range(2):
        stage.run(plan, (1, 3), looks.append)
    assert [s.step for s in looks] == [1, 3, 1, 3]
    assert looks[:2] == looks[2:]
    after = dict(lm.module.named_parameters())
    assert before.keys() == after.keys()
    assert all(bool((before[name] == after[name]).all()) for name in before)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"out": "recipe.json"}, "is no name of a recipe"),
        ({"trials": 0}, "--trials: is 0"),
        ({"retention": 1.5}, "--retention: is 1.5"),
        ({"base": "sequential"}, '"sequential" cannot be tuned'),
        ({"base": "chip"}, '"chip" cannot be tuned'),
        ({"base": "nop"}, 'did you mean "npo"'),
        ({"stand_ins": 9}, "needs 11 other subjects"),
    ],
)
def test_what_cannot_be_tuned_is_refused(
    folders: dict[str, Path], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    out = tmp_path / changes.pop("out", "recipe.yaml")
    with pytest.raises(InputError, match=message):
        search(folders["llama"], out, **changes)
    assert not list(tmp_path.iterdir())


def test_a_missing_optuna_is_one_line(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "optuna":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match="needs the package optuna; pip install optuna"):
        search(folders["llama"], tmp_path / "recipe.yaml")
