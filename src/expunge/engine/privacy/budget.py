"""What a private run will ask and what that will cost, known before its first step.

A step asks up to two questions, one of the forget set and one of the retain set; both are noised and both are
charged, since a person may stand in both. Surprising: how many units there are counts as known to everybody, as
everywhere in the field; who they are does not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from expunge.corpus import Record
from expunge.engine.privacy.unit_sampling import Units
from expunge.engine.resolved_recipe import ResolvedRecipe
from expunge.gradients.private import paper_formula
from expunge.gradients.saliency import Side
from expunge.privacy.accountant import Query, Spent, default_delta, noise_for, spent
from expunge.privacy.config import PrivacyConfig

SIDES: tuple[Side, ...] = ("forget", "retain")


@dataclass(frozen=True)
class PrivacySide:
    """One side of a run: who may be drawn, with which probability, how often, under which noise multiplier."""

    units: Units
    rate: float
    steps: int
    noise: float

    @property
    def expected(self) -> float:
        """Units in a draw, on average: what a noised sum is divided by."""
        return self.rate * len(self.units)


@dataclass(frozen=True)
class PrivacyBudget:
    """A whole run. `units`: of both sides, `shared` of them in both."""

    settings: PrivacyConfig
    delta: float
    sides: Mapping[Side, PrivacySide]
    units: int
    shared: int

    @classmethod
    def of(
        cls,
        resolved: ResolvedRecipe,
        forget: Sequence[Record],
        retain: Sequence[Record],
        noise: Mapping[str, float] | None = None,
    ) -> PrivacyBudget:
        """The budget of a recipe on these records. noise: by side, as an earlier start of this run has solved it."""
        settings = resolved.recipe.privacy
        if settings is None:
            raise ValueError("the recipe has no section privacy")
        steps = {side: count for side in SIDES if (count := query_count(resolved, side))}
        units = {side: Units.of(forget if side == "forget" else retain, settings.unit) for side in steps}
        rates = {side: _rate(resolved, settings, side, units[side]) for side in steps}
        names = [set(found.names) for found in units.values()]
        count, shared = len(set().union(*names)), len(names[0].intersection(*names[1:])) if len(names) > 1 else 0
        delta = settings.delta or default_delta(count)
        noise = noise or _noise(settings, delta, {side: (rates[side], steps[side]) for side in steps})
        sides = {side: PrivacySide(units[side], rates[side], steps[side], noise[side]) for side in steps}
        return cls(settings, delta, sides, count, shared)

    @property
    def queries(self) -> list[Query]:
        """What will have been asked when the run is over."""
        return [Query(a.noise, a.rate, a.steps, side) for side, a in self.sides.items()]

    def cost(self) -> Spent:
        """(epsilon, delta) of the whole run."""
        return spent(self.queries, self.delta)


def query_count(resolved: ResolvedRecipe, side: Side) -> int:
    """Steps of a run that ask this side anew; with `batch.blocks` m, every m-th step of a phase asks the retain set."""
    total = 0
    for phase in resolved.phases:
        if side == "forget" and phase.objective != "retain":
            total += phase.steps
        if side == "retain" and resolved.retain_loss_in(phase) != "none":
            total += math.ceil(phase.steps / resolved.recipe.batch.blocks)
    return total


def _rate(resolved: ResolvedRecipe, settings: PrivacyConfig, side: Side, units: Units) -> float:
    given = settings.forget_rate if side == "forget" else settings.retain_rate
    wanted = resolved.recipe.batch.forget if side == "forget" else resolved.recipe.batch.retain
    return given or min(1.0, max(wanted / units.drawn_rows(settings.records), 1 / len(units)))


def _noise(settings: PrivacyConfig, delta: float, shape: Mapping[Side, tuple[float, int]]) -> dict[str, float]:
    """The noise multiplier of every side: one for all, but for the paper's formula, which knows rates only."""
    if settings.paper_formula and settings.epsilon:
        return {side: paper_formula(rate, settings.epsilon, delta) for side, (rate, _) in shape.items()}
    common = settings.noise or noise_for(settings.epsilon or math.inf, delta, list(shape.values()))
    return dict.fromkeys(shape, common)
