"""The queries of a private run and their cost, known before its first step.

A step makes up to two queries, one of the forget set and one of the retain set. Both are noised and charged, since a
person may be in both. The number of units counts as public, their identity does not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from expunge.corpus import Record
from expunge.engine.privacy.unit_sampling import Units
from expunge.engine.privacy.validator import raw_measurements
from expunge.engine.resolved_recipe import ResolvedRecipe
from expunge.gradients.private import paper_formula
from expunge.gradients.saliency import Side
from expunge.privacy.accountant import PrivacyCost, Query, default_delta, noise_for, privacy_cost
from expunge.privacy.config import PrivacyConfig

SIDES: tuple[Side, ...] = ("forget", "retain")


@dataclass(frozen=True)
class PrivacySide:
    """One side of a run: its units, sampling rate, number of queries and noise multiplier."""

    units: Units
    rate: float
    steps: int
    noise: float

    @property
    def expected(self) -> float:
        """Expected units per draw; a noised sum is divided by it."""
        return self.rate * len(self.units)


@dataclass(frozen=True)
class PrivacyBudget:
    """The queries of a whole run.

    Attributes:
        settings: the section `privacy`.
        delta: as set, or by default.
        sides: the queries of each side.
        units: number of units of both sides together.
        shared: how many of them are in both.
        raw: what the run measures on raw records beside its queries, so that epsilon does not cover it.
    """

    settings: PrivacyConfig
    delta: float
    sides: Mapping[Side, PrivacySide]
    units: int
    shared: int
    raw: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        resolved: ResolvedRecipe,
        forget: Sequence[Record],
        retain: Sequence[Record],
        noise: Mapping[str, float] | None = None,
    ) -> PrivacyBudget:
        """The budget of a recipe on these records; `noise` by side as an earlier start of this run solved it."""
        settings = resolved.recipe.privacy
        if settings is None:
            raise ValueError("the recipe has no section privacy")
        steps = {side: count for side in SIDES if (count := query_count(resolved, side))}
        units = {side: Units.of(forget if side == "forget" else retain, settings.unit) for side in steps}
        rates = {side: _rate(resolved, settings, side, units[side]) for side in steps}
        names = [set(side_units.names) for side_units in units.values()]
        count, shared = len(set().union(*names)), len(names[0].intersection(*names[1:])) if len(names) > 1 else 0
        delta = settings.delta or default_delta(count)
        noise = noise or _noise(settings, delta, {side: (rates[side], steps[side]) for side in steps})
        sides = {side: PrivacySide(units[side], rates[side], steps[side], noise[side]) for side in steps}
        return cls(settings, delta, sides, count, shared, raw_measurements(resolved))

    @property
    def queries(self) -> list[Query]:
        """All queries of the run."""
        return [Query(a.noise, a.rate, a.steps, side) for side, a in self.sides.items()]

    def cost(self) -> PrivacyCost:
        """Cost of the whole run."""
        return privacy_cost(self.queries, self.delta)


def query_count(resolved: ResolvedRecipe, side: Side) -> int:
    """Queries of one side in a run; with `batch.blocks` m, every m-th step of a phase queries the retain set."""
    total = 0
    for phase in resolved.phases:
        if side == "forget" and phase.objective != "retain":
            total += phase.steps
        if side == "retain" and resolved.retain_loss_in(phase) != "none":
            total += math.ceil(phase.steps / resolved.recipe.batch.blocks)
    return total


def _rate(resolved: ResolvedRecipe, settings: PrivacyConfig, side: Side, units: Units) -> float:
    rate = settings.forget_rate if side == "forget" else settings.retain_rate
    rows = resolved.recipe.batch.forget if side == "forget" else resolved.recipe.batch.retain
    return rate or min(1.0, max(rows / units.drawn_rows(settings.records), 1 / len(units)))


def _noise(settings: PrivacyConfig, delta: float, shape: Mapping[Side, tuple[float, int]]) -> dict[str, float]:
    """The noise multiplier of each side: the same, unless the paper's formula computes it from the rates."""
    if settings.paper_formula and settings.epsilon:
        return {side: paper_formula(rate, settings.epsilon, delta) for side, (rate, _) in shape.items()}
    common = settings.noise or noise_for(settings.epsilon or math.inf, delta, list(shape.values()))
    return dict.fromkeys(shape, common)
