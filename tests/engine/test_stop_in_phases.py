"""The stop rule in a run of phases: it ends the one that forgets, and later ones follow at once or are left out."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from expunge.engine.event import Event
from expunge.engine.phase_plan import PhasePlan
from expunge.engine.recipe import Recipe
from expunge.engine.recipe_config import Stop
from expunge.engine.stop_controls import StopControls
from expunge.engine.stop_rule import ControlRange
from expunge.engine.stopper import Stopper
from helpers.runs import closeness, loop, recipe, run, weights
from helpers.world import one_person

STOP: dict[str, Any] = {"when": "controls", "check_every": 3, "patience": 2, "cooldown": 2, "tolerance": 100.0}
RETAIN: dict[str, Any] = {"objective": "retain", "steps": 4}
FORGET: dict[str, Any] = {"objective": "forget", "steps": 12, "layers": "1/3"}


@pytest.fixture
def _anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Controls among which everything stands."""
    monkeypatch.setattr(
        StopControls,
        "range",
        lambda controls, nll: ControlRange(0.0, 100.0, 1.0, -100.0, (0.0,) * len(controls.of_probe)),
    )


def plan(*phases: dict[str, Any], **stop: Any) -> Recipe:
    return recipe("sequential", phases=list(phases), stop=STOP | stop)


def test_a_plan_moves_what_follows_a_phase_that_ends_early() -> None:
    plan = PhasePlan([4, 12, 3])
    plan.cut(1, 20)
    assert (plan.steps, plan.total) == ([4, 12, 3], 19)
    plan.cut(1, 11)
    assert (plan.steps, plan.start(2), plan.end(2), plan.total) == ([4, 7, 3], 11, 14, 14)
    again = PhasePlan([4, 12, 3])
    again.restore(json.loads(json.dumps(plan.state())))
    assert again.steps == plan.steps


@pytest.mark.usefixtures("_anywhere")
def test_the_forget_phase_ends_where_its_controls_stand(folders: dict[str, Path]) -> None:
    engine = loop(folders["llama"], plan(RETAIN, FORGET))
    totals: list[int] = []
    events: list[Event] = []

    def keep(event: Event) -> None:
        events.append(event)
        totals.append(engine.end)

    engine.run(keep)
    assert [e.phase for e in events] == [0] * 4 + [1] * 7  # checks after steps 6 and 9, and two steps of cooldown
    assert [e.step for e in events if e.probe is not None] == [5, 8]
    assert totals == [16] * 8 + [11] * 3
    assert [e.lr_factor < 1 for e in events[:4]] == [False, True, True, True]  # its own linear schedule
    stopped = engine.stopped()["stopped"]
    assert (stopped["step"], stopped["bound"], stopped["phases"]) == (11, 16, [4, 7])
    assert stopped["reason"] == "inside the controls' range in 2 checks"


@pytest.mark.usefixtures("_anywhere")
def test_a_later_phase_is_left_out_while_they_still_stand_there(folders: dict[str, Path]) -> None:
    engine = loop(folders["llama"], plan(FORGET, RETAIN, FORGET, RETAIN))
    events = run(engine)
    assert [e.phase for e in events] == [0] * 8 + [1] * 4 + [3] * 4
    stopped = engine.stopped()["stopped"]
    assert (stopped["bound"], stopped["phases"]) == (32, [8, 4, 0, 4])
    assert stopped["reason"].startswith("inside")


def test_a_phase_that_never_stands_there_takes_all_its_steps(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        StopControls,
        "range",
        lambda controls, nll: ControlRange(90.0, 100.0, 1.0, -100.0, (0.0,) * len(controls.of_probe)),
    )
    engine = loop(folders["llama"], plan(RETAIN, FORGET | {"steps": 5, "lr": 1e-9}))
    assert len(run(engine)) == 9
    assert engine.stopped()["stopped"]["reason"] == "the bound on steps"


@pytest.mark.usefixtures("_anywhere")
@pytest.mark.parametrize("at", [3, 7, 9, 12])
def test_a_run_of_phases_goes_on_from_its_state(folders: dict[str, Path], at: int) -> None:
    recipe = plan(FORGET, RETAIN, FORGET | {"steps": 3}, RETAIN)
    states: list[Any] = []
    whole = loop(folders["llama"], recipe)

    def keep(event: Event) -> None:
        if whole.state.step == at:
            states.append(copy.deepcopy(whole.state.to_dict()))

    whole.run(keep)
    resumed = loop(folders["llama"], recipe)
    resumed.state.restore(states[0], resumed.resolved.total_steps)
    events = run(resumed)
    assert events[0].step == at
    assert resumed.plan.steps == whole.plan.steps
    assert closeness(weights(whole), weights(resumed)) < 1e-5


def test_harm_holds_up_a_phase_that_can_mend_it_and_no_other() -> None:
    item: Any = ()
    record = one_person().forget[0]
    controls = StopControls([[record], [record]], [None, None], "x")
    config = Stop(**(STOP | {"tolerance": 0.05, "patience": 1}))
    values = np.array([3.0, 3.0, 9.0, 9.0, 1.0, 5.0])  # forget rows among the controls, retain rows much harmed
    for harm_counts, passed in ((True, 0), (False, 1)):
        rule = Stopper(config, 40, [item] * 2, [item] * 2, controls, [item] * 2, np.array([0, 0, 0.1, 0.1, 1.0, 5.0]))
        rule.start_phase(20, harm_counts, resumed=False)
        rule.observe(9, values)
        assert (rule.passed, rule.end) == (passed, 11 if passed else 20)
        assert rule.stands(9) == bool(passed)


@pytest.mark.usefixtures("_anywhere")
def test_every_shipped_arm_of_sequential_can_stop(folders: dict[str, Path]) -> None:
    for name in ("sequential", "sequential-interleaved", "sequential-joint"):
        changes = ["stop={when: controls, check_every: 2, patience: 1, cooldown: 0}", "batch={forget: 4, retain: 4}"]
        engine = loop(folders["llama"], Recipe.load(name, changes))
        run(engine)
        assert engine.stopped()["stopped"]["step"] < engine.resolved.total_steps
