"""Means over worlds and seeds with what three seeds can say about their own spread.

Surprising: worlds are averaged first, and the interval is that of the mean over seeds (Student's t, n - 1 degrees of
freedom: 4.303 for three seeds), so more worlds do not make it narrower. Single seed: no interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

Columns = Mapping[str, float | None]
Interval = tuple[float, float]
LEVEL = 0.95


def mean(values: Iterable[float | None]) -> float | None:
    """Of those that exist; None if none does."""
    there = [v for v in values if v is not None and math.isfinite(v)]
    return sum(there) / len(there) if there else None


def t_interval(values: Sequence[float], level: float = LEVEL) -> Interval | None:
    """Interval of the mean of `values`; None for fewer than two."""
    n = len(values)
    if n < 2:
        return None
    from scipy.special import stdtrit

    middle = sum(values) / n
    spread = math.sqrt(sum((v - middle) ** 2 for v in values) / (n - 1))
    half = float(stdtrit(n - 1, (1 + level) / 2)) * spread / math.sqrt(n)
    return middle - half, middle + half


def by_seed(cells: Mapping[str, Mapping[str, Columns]], column: str) -> dict[str, float]:
    """seed → mean of a column over worlds; `cells`: world → seed → columns. Seeds without any value are left out."""
    seeds = dict.fromkeys(seed for of_world in cells.values() for seed in of_world)
    found = {
        seed: mean(of_world[seed].get(column) for of_world in cells.values() if seed in of_world) for seed in seeds
    }
    return {seed: value for seed, value in found.items() if value is not None}


def estimate(cells: Mapping[str, Mapping[str, Columns]], column: str) -> tuple[float | None, Interval | None]:
    """Mean over worlds and seeds (each seed weighs alike), and its interval over seeds."""
    values = list(by_seed(cells, column).values())
    return mean(values), t_interval(values)


def difference(
    first: Mapping[str, Mapping[str, Columns]], second: Mapping[str, Mapping[str, Columns]], column: str
) -> tuple[float | None, Interval | None]:
    """first - second, paired by seed."""
    a, b = by_seed(first, column), by_seed(second, column)
    values = [a[seed] - b[seed] for seed in a if seed in b]
    return mean(values), t_interval(values)
