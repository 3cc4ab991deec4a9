"""Loops and runs of two or three steps on four people, in a second each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from expunge.engine.event import Event
from expunge.engine.loop import Loop
from expunge.engine.loop_builder import build_loop
from expunge.engine.recipe import Recipe
from expunge.models.adapters import prepare
from expunge.models.language_model import load
from helpers.world import one_person

FEW = {"forget": 4, "retain": 5}


def recipe(method: str, **changes: Any) -> Recipe:
    """A short run of a method with its defaults."""
    fields: dict[str, Any] = {"method": method, "steps": 2, "batch": FEW}
    if method == "twin":
        fields["settings"] = {"candidates": 2}
    if method == "sequential":
        fields["phases"] = [{"objective": "retain", "steps": 2}, {"objective": "forget", "steps": 2, "layers": "1/3"}]
    return Recipe(**(fields | changes))


def loop(folder: Path, plan: Recipe) -> Loop:
    """The loop that `unlearn` would run, prepared."""
    lm = load(folder)
    split = one_person()
    return build_loop(
        lm.with_module(prepare(lm.module, plan.train, plan.seed)), plan.resolve(), split.forget, split.retain
    )


def weights(loop: Loop) -> dict[str, Tensor]:
    """A copy of every parameter."""
    return {name: p.detach().clone() for name, p in loop.lm.module.named_parameters()}


def run(loop: Loop) -> list[Event]:
    events: list[Event] = []
    loop.run(events.append)
    return events


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


def closeness(one: dict[str, Tensor], two: dict[str, Tensor]) -> float:
    """The largest difference of any two numbers."""
    return max(float((one[name] - two[name]).abs().max()) for name in one)
