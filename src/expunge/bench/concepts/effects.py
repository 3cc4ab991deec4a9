"""An effect: a mean of paired differences, with two intervals that answer two questions.

over_units  concepts or words are drawn again within each world and seed: would others of the same worlds say the same?
over_seeds  Student's t over the seeds' means: would other worlds and other models?

Surprising: neither contains the other. Where there are several seeds the one over seeds decides, since a seed is a
world and a model of its own; with a single seed there is only the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from expunge.audit.statistics import DEFAULT, Bootstrap
from expunge.bench.concepts.intervals import Interval, mean, t_interval
from expunge.bench.concepts.summary import ends, rounded

Units = Mapping[str, float]  # concept or word → value
Strata = Mapping[tuple[str, str], Units]  # (world, seed) → its units


@dataclass(frozen=True)
class Effect:
    """`mean` weighs units alike within a world and seed, worlds alike within a seed, and seeds alike."""

    mean: float | None
    over_seeds: Interval | None
    over_units: Interval | None
    seeds: int
    units: int

    @property
    def deciding(self) -> Interval | None:
        """The interval that a claim is judged by."""
        return self.over_seeds if self.seeds > 1 else self.over_units

    def excludes_zero(self, sign: int) -> bool:
        """Does the deciding interval lie on this side of 0 (1: above, -1: below)?"""
        return self.deciding is not None and min(sign * end for end in self.deciding) > 0

    def as_row(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "mean": rounded(self.mean),
            "over_seeds": ends(self.over_seeds),
            "over_units": ends(self.over_units),
            "deciding": ends(self.deciding),
            "seeds": self.seeds,
            "units": self.units,
        }


def effect(strata: Strata, plan: Bootstrap = DEFAULT) -> Effect:
    """Of values that are differences already; a stratum without units is left out.

    A stratum with a single unit shows no spread, so there is no interval over units with it.
    """
    return _effect([(1, {place: units for place, units in strata.items() if units})], plan)


def unpaired(first: Strata, second: Strata, plan: Bootstrap = DEFAULT) -> Effect:
    """first - second where the units are different ones; strata that lack either are left out."""
    both = [place for place, units in first.items() if units and second.get(place)]
    return _effect([(1, {p: first[p] for p in both}), (-1, {p: second[p] for p in both})], plan)


def _effect(signed: Sequence[tuple[int, Strata]], plan: Bootstrap) -> Effect:
    """Of the sum of the signed means, which all have the same strata."""
    by_seed: dict[str, dict[tuple[str, str], float]] = {}
    for sign, strata in signed:
        for place, units in strata.items():
            of_seed = by_seed.setdefault(place[1], {})
            of_seed[place] = of_seed.get(place, 0.0) + sign * sum(units.values()) / len(units)
    means = [sum(of_worlds.values()) / len(of_worlds) for of_worlds in by_seed.values()]
    weight = {place: 1 / len(of_worlds) / len(by_seed) for of_worlds in by_seed.values() for place in of_worlds}
    return Effect(
        mean(means),
        t_interval(means),
        _resampled(signed, weight, plan),
        len(means),
        sum(len(units) for _, strata in signed for units in strata.values()),
    )


def _resampled(
    signed: Sequence[tuple[int, Strata]], weight: Mapping[tuple[str, str], float], plan: Bootstrap
) -> Interval | None:
    """Percentile interval of the weighted mean, units drawn with replacement within each stratum."""
    sizes = [len(units) for _, strata in signed for units in strata.values()]
    if min(sizes, default=0) < 2:
        return None
    rng = np.random.default_rng(plan.seed)
    total = np.zeros(plan.draws)
    for sign, strata in signed:
        for place, units in strata.items():
            values = np.sort(np.array(list(units.values())))  # names and order of units change nothing
            counts = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), size=plan.draws)
            total += sign * weight[place] * (counts @ values) / len(values)
    tail = (1 - plan.level) / 2
    low, high = np.quantile(total, [tail, 1 - tail])
    return float(low), float(high)


def paired(first: Strata, second: Strata) -> dict[tuple[str, str], dict[str, float]]:
    """first - second for units that both have, stratum by stratum."""
    return {
        place: {unit: value - second[place][unit] for unit, value in units.items() if unit in second[place]}
        for place, units in first.items()
        if place in second
    }
