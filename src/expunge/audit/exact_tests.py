"""Exact tests of counts, and Holm's correction where any one of several tests would support a claim."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjusted p-values in the same order (Holm 1979).

    The k-th smallest of m is multiplied by m - k + 1; none is smaller than one before it, or larger than 1. So
    (.01, .04, .03, .005) gives (.03, .06, .06, .02).
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return tuple(adjusted)


def sign_test(wins: int, losses: int) -> float:
    """P(at least `wins` of `wins + losses` fair coins): one-sided, ties left out; 1 without any."""
    n = wins + losses
    return float(sum(comb(n, k) for k in range(wins, n + 1)) / 2**n)


def fisher_test(hits: int, n: int, other_hits: int, other_n: int) -> float:
    """P(at least `hits` of the first n) if all hits were dealt over both groups by chance: one-sided (Fisher 1935)."""
    total, drawn = n + other_n, hits + other_hits
    ways = sum(comb(n, k) * comb(other_n, drawn - k) for k in range(hits, min(n, drawn) + 1))
    return ways / comb(total, drawn)
