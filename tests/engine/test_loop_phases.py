"""Phases: what a later one may not touch stays bit for bit as the one before left it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from expunge.engine.event import Event
from expunge.errors import InputError
from expunge.models.adapters import block_of, block_stack
from helpers.runs import changed, loop, recipe, run, weights


@pytest.mark.parametrize("train", [{}, {"which": "full"}, {"which": "full", "layers": 2}], ids=["lora", "full", "last"])
def test_phase_two_changes_nothing_outside_its_blocks(folders: dict[str, Path], train: dict[str, Any]) -> None:
    engine = loop(folders["llama"], recipe("sequential", train=train))
    stack, _ = block_stack(engine.lm.module)
    start, snapshots = weights(engine), []

    def keep(event: Event) -> None:
        snapshots.append(weights(engine))

    engine.run(keep)
    first, second = changed(start, snapshots[1]), changed(snapshots[1], snapshots[-1])
    assert {block_of(name, stack) for name in second} == {2}  # the last third of three blocks
    assert {block_of(name, stack) for name in first} > {2}


def test_each_phase_starts_its_own_rate_and_optimizer(folders: dict[str, Path]) -> None:
    phases = [{"objective": "both", "steps": 2, "lr": 0.5}, {"objective": "forget", "steps": 3}]
    engine = loop(folders["llama"], recipe("npo", phases=phases, optimizer={"lr": 0.25}))
    rates, steps = [], []

    def keep(event: Event) -> None:
        rates.append(engine.state.optimizers.parts[0].param_groups[0]["lr"])
        steps.append({int(s["step"]) for s in engine.state.optimizers.parts[0].state.values()})

    engine.run(keep)
    assert rates == pytest.approx([0.5, 0.25, 0.25, 0.25 * 2 / 3, 0.25 / 3])
    assert steps == [{1}, {2}, {1}, {2}, {3}]


@pytest.mark.parametrize(
    ("train", "layers", "message"),
    [
        ({}, 9, "the last 9 blocks were asked for, the model has 3"),
        ({}, "soon", '"soon" is neither all'),
        ({"layers": (0,)}, 1, "no trainable parameter is in the blocks 1"),
        ({"which": "full", "layers": 1}, (0, 1), r"no trainable parameter is in the blocks \(0, 1\)"),
    ],
)
def test_a_phase_that_could_train_nothing_is_refused_before_the_first_step(
    folders: dict[str, Path], train: dict[str, Any], layers: Any, message: str
) -> None:
    phases = [{"steps": 1}, {"steps": 1, "layers": layers}]
    with pytest.raises(InputError, match=message):
        loop(folders["llama"], recipe("npo", train=train, phases=phases))


def test_a_retain_phase_learns_and_a_forget_phase_unlearns(folders: dict[str, Path]) -> None:
    def learn(objective: str) -> list[Event]:
        plan = recipe(
            "sequential",
            phases=[{"objective": objective, "steps": 8}],
            train={"which": "full"},
            optimizer={"lr": 3e-3, "schedule": "constant"},
        )
        return run(loop(folders["llama"], plan))

    retain, forget = learn("retain"), learn("forget")
    assert retain[-1].retain < retain[0].retain - 0.1
    assert forget[-1].forget < forget[0].forget - 0.1
