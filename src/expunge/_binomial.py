"""Bounds of a rate after so many hits in so many trials."""

from __future__ import annotations


def zero_hit_bound(n: int, level: float = 0.95) -> float:
    """Upper bound of a rate after no hit in n trials: 1 - (1 - level)^(1/n)."""
    return float(1 - (1 - level) ** (1 / n))


def clopper_pearson(hits: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Exact bounds of a rate after `hits` in n >= 1 trials (Clopper and Pearson 1934).

    One-sided where there is no hit, or nothing but hits: 0 of 10 gives (0, .259), 1 of 10 (.0025, .445).
    """
    if not 0 <= hits <= n or n < 1:
        raise ValueError(f"{hits} hits in {n} trials")
    if hits == 0:
        return 0.0, zero_hit_bound(n, level)
    if hits == n:
        return 1 - zero_hit_bound(n, level), 1.0
    from scipy.stats import beta

    tail = (1 - level) / 2
    return float(beta.ppf(tail, hits, n - hits + 1)), float(beta.ppf(1 - tail, hits + 1, n - hits))
