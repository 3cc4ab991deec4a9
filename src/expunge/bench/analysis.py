"""Means, intervals, paired differences, effects over units, and claims.

World instances of one seed are averaged first, and an interval is that of the mean over seeds (Student's t, n - 1
degrees of freedom: 4.303 for three seeds), so more worlds do not make it narrower. A single seed has no interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from expunge.audit.statistics import DEFAULT, Bootstrap

Columns = Mapping[str, float | None]
Cells = Mapping[str, Mapping[str, Columns]]  # request -> seed -> columns
Interval = tuple[float, float]
Point = tuple[float, float]
Units = Mapping[str, float]  # concept or word -> value
Strata = Mapping[tuple[str, str], Units]  # (world, seed) -> its units
LEVEL = 0.95


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of the values that exist; None if none does."""
    there = [v for v in values if v is not None and math.isfinite(v)]
    return sum(there) / len(there) if there else None


def t_interval(values: Sequence[float], level: float = LEVEL) -> Interval | None:
    """Student's interval of the mean of `values`; None for fewer than two."""
    n = len(values)
    if n < 2:
        return None
    from scipy.special import stdtrit

    middle = sum(values) / n
    spread = math.sqrt(sum((v - middle) ** 2 for v in values) / (n - 1))
    half = float(stdtrit(n - 1, (1 + level) / 2)) * spread / math.sqrt(n)
    return middle - half, middle + half


def by_seed(cells: Cells, column: str) -> dict[str, float]:
    """Seed to the mean of a column over requests; seeds without any value are left out."""
    seeds = dict.fromkeys(seed for of_request in cells.values() for seed in of_request)
    means = {seed: mean(of[seed].get(column) for of in cells.values() if seed in of) for seed in seeds}
    return {seed: value for seed, value in means.items() if value is not None}


def estimate(cells: Cells, column: str) -> tuple[float | None, Interval | None]:
    """Mean over requests and seeds (each seed has the same weight), and its interval over seeds."""
    values = list(by_seed(cells, column).values())
    return mean(values), t_interval(values)


def difference(first: Cells, second: Cells, column: str) -> tuple[float | None, Interval | None]:
    """first - second, paired by seed."""
    a, b = by_seed(first, column), by_seed(second, column)
    values = [a[seed] - b[seed] for seed in a if seed in b]
    return mean(values), t_interval(values)


def round6(value: float | None) -> float | None:
    """Six decimals, as results hold them."""
    return None if value is None else round(value, 6)


def ends(interval: Interval | None) -> list[float] | None:
    """An interval as results hold it."""
    return None if interval is None else [round(v, 6) for v in interval]


def entry(middle: float | None, interval: Interval | None) -> dict[str, Any]:
    """`{mean, interval}`, as results hold it."""
    return {"mean": round6(middle), "interval": ends(interval)}


def summarize(
    tables: Mapping[str, Cells], failed: Mapping[str, Sequence[str]], columns: Sequence[str]
) -> dict[str, Any]:
    """Means over all requests (`methods`), their `intervals`, means `by_domain`, the `cells`, and what `failed`."""
    return {
        "methods": {name: {c: round6(estimate(cells, c)[0]) for c in columns} for name, cells in tables.items()},
        "intervals": {name: {c: ends(estimate(cells, c)[1]) for c in columns} for name, cells in tables.items()},
        "by_domain": {
            name: {
                request: {c: round6(estimate({request: of_seeds}, c)[0]) for c in columns}
                for request, of_seeds in cells.items()
            }
            for name, cells in tables.items()
        },
        "cells": dict(tables),
        "failed": {name: list(lines) for name, lines in failed.items()},
    }


@dataclass(frozen=True)
class Effect:
    """A mean of differences with two intervals; units weigh alike in a world, worlds in a seed, and seeds."""

    mean: float | None
    over_seeds: Interval | None  # Student's: other worlds and models; it decides where there are several seeds
    over_units: Interval | None  # bootstrap over concepts or words within each world and seed
    seeds: int
    units: int

    @property
    def deciding(self) -> Interval | None:
        """The interval that a claim is judged by."""
        return self.over_seeds if self.seeds > 1 else self.over_units

    def excludes_zero(self, sign: int) -> bool:
        """Is the deciding interval on this side of 0 (1: above, -1: below)?"""
        return self.deciding is not None and min(sign * end for end in self.deciding) > 0

    def as_row(self) -> dict[str, Any]:
        names = ("over_seeds", "over_units", "deciding")
        intervals = {name: ends(getattr(self, name)) for name in names}
        return {"mean": round6(self.mean), **intervals, "seeds": self.seeds, "units": self.units}


def effect(strata: Strata, bootstrap: Bootstrap = DEFAULT) -> Effect:
    """Effect of values that are differences already; a stratum without units is left out."""
    return _effect([(1, {place: units for place, units in strata.items() if units})], bootstrap)


def unpaired(first: Strata, second: Strata, bootstrap: Bootstrap = DEFAULT) -> Effect:
    """first - second where the units are different ones; strata that lack either are left out."""
    both = [place for place, units in first.items() if units and second.get(place)]
    return _effect([(1, {p: first[p] for p in both}), (-1, {p: second[p] for p in both})], bootstrap)


def paired(first: Strata, second: Strata) -> dict[tuple[str, str], dict[str, float]]:
    """first - second for units that both have, stratum by stratum."""
    return {
        place: {unit: value - second[place][unit] for unit, value in units.items() if unit in second[place]}
        for place, units in first.items()
        if place in second
    }


def _effect(signed: Sequence[tuple[int, Strata]], bootstrap: Bootstrap) -> Effect:
    """Effect of the sum of the signed means, which all have the same strata."""
    seeds: dict[str, dict[tuple[str, str], float]] = {}
    for sign, strata in signed:
        for place, units in strata.items():
            of_seed = seeds.setdefault(place[1], {})
            of_seed[place] = of_seed.get(place, 0.0) + sign * sum(units.values()) / len(units)
    means = [sum(of_worlds.values()) / len(of_worlds) for of_worlds in seeds.values()]
    weight = {place: 1 / len(of_worlds) / len(seeds) for of_worlds in seeds.values() for place in of_worlds}
    count = sum(len(units) for _, strata in signed for units in strata.values())
    return Effect(mean(means), t_interval(means), _resample(signed, weight, bootstrap), len(means), count)


def _resample(
    signed: Sequence[tuple[int, Strata]], weight: Mapping[tuple[str, str], float], bootstrap: Bootstrap
) -> Interval | None:
    """Percentile interval of the weighted mean, units drawn with replacement within each stratum."""
    sizes = [len(units) for _, strata in signed for units in strata.values()]
    if min(sizes, default=0) < 2:
        return None
    rng = np.random.default_rng(bootstrap.seed)
    total = np.zeros(bootstrap.draws)
    for sign, strata in signed:
        for place, units in strata.items():
            values = np.sort(np.array(list(units.values())))  # names and order of units change nothing
            counts = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), size=bootstrap.draws)
            total += sign * weight[place] * (counts @ values) / len(values)
    tail = (1 - bootstrap.level) / 2
    low, high = np.quantile(total, [tail, 1 - tail])
    return float(low), float(high)


def pareto_front(points: Mapping[str, Point]) -> list[str]:
    """Names that no other point beats in (distance, retention), nearest first."""
    return sorted(
        (
            name
            for name, (far, kept) in points.items()
            if not any(f <= far and k >= kept and (f, k) != (far, kept) for f, k in points.values())
        ),
        key=lambda name: points[name],
    )
