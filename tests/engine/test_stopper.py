"""A run that ends where its forget records stand among their controls."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from expunge.engine.recipe import Recipe
from expunge.engine.recipe_config import Stop
from expunge.engine.stop_controls import StopControls, choose_controls, surrogate_controls
from expunge.engine.stop_rule import ControlRange
from expunge.engine.stopper import Stopper
from expunge.engine.unlearn import unlearn
from expunge.errors import InputError
from expunge.models.language_model import load
from helpers.runs import loop, recipe, run
from helpers.world import one_person

STOP = {"when": "controls", "check_every": 3, "patience": 2, "cooldown": 2, "tolerance": 100.0}


def anywhere(controls: StopControls, nll: np.ndarray) -> ControlRange:
    return ControlRange(0.0, 100.0, 1.0, -100.0, (0.0,) * len(controls.of_probe))


def stopper(**changes: Any) -> Stopper:
    """A rule for a run of 40 steps with two rows on either side, whose two controls stand between 2 and 4."""
    item: Any = ()
    config = Stop(**(STOP | {"tolerance": 0.05} | changes))
    record = one_person().forget[0]
    controls = StopControls([[record], [record]], [None, None], "x")
    return Stopper(config, 40, [item] * 2, [item] * 2, controls, [item] * 2, nll(0.0))


def nll(forget: float, retain: float = 0.1, controls: tuple[float, float] = (1.0, 5.0)) -> np.ndarray:
    return np.array([forget, forget, retain, retain, *controls])


def test_two_checks_in_a_row_end_the_run_after_its_cooldown() -> None:
    rule = stopper()
    assert [step for step in range(1, 13) if rule.is_due(step)] == [3, 6, 9, 12]
    for step, value in ((3, 1.0), (6, 3.0), (9, 1.9), (12, 3.0)):
        rule.observe(step, nll(value))
        assert rule.end == 40
    rule.observe(15, nll(3.1))
    assert rule.end == 17
    assert not rule.is_due(18)
    assert [rule.lr_factor(k) for k in (14, 15, 16)] == [1.0, 1.0, 0.5]
    about = rule.summary(17, 40)
    assert (about["step"], about["bound"], about["reason"]) == (17, 40, "inside the controls' range in 2 checks")


def test_a_harmed_retain_probe_or_unsettled_targets_do_not_pass() -> None:
    rule = stopper(patience=1)
    rule.observe(3, nll(3.0, retain=0.2))
    rule.observe(6, nll(3.0), settled=False)
    assert rule.end == 40
    rule.observe(9, nll(3.0))
    assert rule.end == 11


def test_the_controls_are_asked_on_the_model_as_it_stands() -> None:
    """A run that makes the answers less likely about everybody moves the range: from 2 … 4 to 5 … 7."""
    rule = stopper(patience=1)
    assert (rule.controls.low, rule.controls.high) == (2.0, 4.0)
    rule.observe(3, nll(3.0, controls=(4.0, 8.0)))
    assert (rule.controls.low, rule.controls.high, rule.end) == (5.0, 7.0, 40)
    again = stopper(patience=1)
    again.restore(json.loads(json.dumps(rule.state())))
    assert again.summary(3, 40) == rule.summary(3, 40)
    rule.observe(6, nll(6.0, controls=(4.0, 8.0)))
    assert rule.end == 8


def test_the_bound_is_the_end_of_a_run_that_never_passes() -> None:
    rule = stopper()
    rule.observe(36, nll(1.0))
    assert (rule.end, rule.summary(40, 40)["reason"]) == (40, "the bound on steps")
    late = stopper(patience=1)
    late.observe(39, nll(3.0))
    assert late.end == 40


def test_a_rule_goes_on_from_its_state() -> None:
    one, two = stopper(), stopper()
    one.observe(3, nll(3.0))
    two.restore(json.loads(json.dumps(one.state())))
    for rule in (one, two):
        rule.observe(6, nll(3.0))
    assert one.state() == two.state()
    assert one.end == two.end == 8


def test_surrogates_get_the_same_questions_and_answers() -> None:
    split = one_person()
    made = surrogate_controls(split.forget, split.retain, 1)
    names = {name for r in split.forget for name in r.identifiers}
    assert len(made) == 8
    assert {len(records) for records in made} == {len(split.forget)}
    assert not any(name in r.prompt for records in made for r in records for name in names)
    true = {r.id: r.answer for r in split.forget}
    assert all(r.answer == true[r.id] for records in made for r in records)
    assert made == surrogate_controls(split.forget, split.retain, 1)
    assert {len(records) for records in surrogate_controls(split.forget, split.retain, 1, rows=2)} == {2}


def test_controls_serve_where_no_surrogate_can_be_made(folders: dict[str, Path]) -> None:
    lm, split = load(folders["llama"]), one_person()
    nameless = [replace(r, identifiers=()) for r in split.forget]
    controls = [replace(r, subject=f"c{k % 3}") for k, r in enumerate(split.retain)]
    assert choose_controls(lm, nameless, split.retain, controls, 1).source == "3 controls"
    surrogates = choose_controls(lm, split.forget, split.retain, controls, 1)
    assert surrogates.source == "8 surrogates"
    ids = [r.id for r in surrogates.records[0]]
    assert [ids[k] for k in surrogates.of_probe if k is not None] == [r.id for r in split.forget]
    with pytest.raises(InputError, match=r"stop.when: needs controls.*or set stop.when=null"):
        choose_controls(lm, nameless, split.retain, (), 1)


@pytest.mark.parametrize("method", ["npo", "twin", "idk"])
def test_a_run_stops_and_probes_do_not_change_its_steps(
    folders: dict[str, Path], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StopControls, "range", anywhere)
    plain = recipe(method, steps=12, optimizer={"schedule": "constant"})
    early = plain.model_copy(update={"stop": Stop(**STOP)})
    engine = loop(folders["llama"], early)
    assert engine.stopper is not None
    short, long = run(engine), run(loop(folders["llama"], plain))
    assert len(short) == engine.state.step == 8
    assert [e.probe is not None for e in short] == [k % 3 == 2 and k < 6 for k in range(8)]
    assert [e.forget for e in short[:7]] == [e.forget for e in long[:7]]


def test_run_json_says_where_and_why_a_run_stopped(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StopControls, "range", anywhere)
    plan = Recipe(method="npo", steps=12, batch={"forget": 4, "retain": 4}, stop=STOP, checkpoint_every=2)
    totals: list[int] = []
    out = unlearn(folders["llama"], one_person(), plan, tmp_path / "run", on_step=lambda _, total: totals.append(total))
    about = json.loads((out / "run.json").read_text())
    assert about["steps"] == about["stopped"]["step"] == 8
    assert about["stopped"]["bound"] == 12
    assert about["stopped"]["controls"] == {
        "from": "8 surrogates",
        "low": 0.0,
        "high": 100.0,
        "given": 1.0,
        "lowest": -100.0,
    }
    assert totals == [12] * 5 + [8] * 3
    assert not (out / "recipe.yaml").read_text().count("when: null")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["privacy={epsilon: 4.0, delta: 1.0e-5}", "retain.loss=ce"], "stop.when: looks at records"),
        (["phases=[{steps: 3, objective: retain}]"], "stop.when: cannot end a run without a phase that forgets"),
        (["stop.patience=0"], "stop.patience"),
        (["stop.patients=1"], 'did you mean "patience"'),
    ],
)
def test_recipes_that_cannot_stop_are_refused(changes: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Recipe.load("npo", ["stop.when=controls", *changes])


def test_a_recipe_that_does_not_stop_keeps_its_digest() -> None:
    """The digest of `ga` with all keys at their defaults, as it was before recipes could stop."""
    plain = Recipe(method="ga")
    assert "stop" not in plain.model_dump()
    assert plain.digest == Recipe(method="ga", stop={"check_every": 10}).digest
    assert plain.digest != Recipe(method="ga", stop={"when": "controls"}).digest
    assert plain.digest == OLD


OLD = "1193f0b7f6eef01bd2e0ed10dbc6339e4c0c55b7acd1d0bfe5ee7217fa11adb1"
