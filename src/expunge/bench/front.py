"""Fronts of an arm: what it retains at each degree of forgetting, over all its trials, and differences between arms.

One trial of an arm says little: another rate or retain weight forgets more and retains less. So arms are compared along
the lines through their best trials, where they forget equally much.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from expunge.bench.analysis import Point

LEVELS = 21  # degrees of forgetting at which two lines are compared


def front(points: Sequence[Point]) -> list[Point]:
    """The points (forgetting, retention) that no other one equals in the one and exceeds in the other, or exceeds in
    both; least forgetting first."""
    best: list[Point] = []
    for x, y in sorted(set(points), reverse=True):
        if math.isfinite(x) and math.isfinite(y) and (not best or y > best[-1][1]):
            best.append((x, y))
    return best[::-1]


def retention_at(forgetting: float, line: Sequence[Point]) -> float | None:
    """Retention on straight lines between the points of a front.

    Less forgetting than the first point's retains as much as that one at least, so that one holds; None beyond the
    last, which no trial has reached.
    """
    if not line or forgetting > line[-1][0]:
        return None
    if forgetting <= line[0][0]:
        return line[0][1]
    for (x0, y0), (x1, y1) in pairwise(line):
        if forgetting <= x1:
            return y0 + (y1 - y0) * (forgetting - x0) / (x1 - x0)
    return None


def common_range(first: Sequence[Point], second: Sequence[Point]) -> tuple[float, float] | None:
    """Degrees that both fronts span: from the larger of their least to the smaller of their largest; None if none."""
    if not first or not second:
        return None
    low, high = max(first[0][0], second[0][0]), min(first[-1][0], second[-1][0])
    return (low, high) if low <= high else None


def equal_forgetting(first: Sequence[Point], second: Sequence[Point], levels: int = LEVELS) -> float | None:
    """Mean of the retention of `first` minus that of `second` over their common range of forgetting.

    Args:
        first: points (forgetting, retention) of all trials of an arm.
        second: the same of another one.
        levels: degrees in the range, evenly spaced, both ends among them.

    Returns:
        None where the fronts have no degree in common.
    """
    a, b = front(first), front(second)
    shared = common_range(a, b)
    if shared is None:
        return None
    gaps = []
    for x in np.linspace(*shared, levels).tolist():
        own, other = (retention_at(min(x, line[-1][0]), line) for line in (a, b))
        if own is not None and other is not None:
            gaps.append(own - other)
    return sum(gaps) / len(gaps)


def percentile_interval(values: Sequence[float | None], level: float = 0.95) -> tuple[float, float] | None:
    """Percentile interval of the draws that exist; None if fewer than half of them do."""
    there = [v for v in values if v is not None]
    if not values or 2 * len(there) < len(values):
        return None
    tail = (1 - level) / 2
    low, high = np.quantile(np.asarray(there), [tail, 1 - tail])
    return float(low), float(high)
