"""Intervals, tests and bounds. The unit is the data subject: subjects are resampled, each with all its records.

Resampling orders subjects by their values, not by names or file order, so that renaming subjects or shuffling records
never changes an interval. With few subjects there is no bootstrap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Bootstrap:
    """How to resample subjects: number of draws, two-sided level, seed, and the least number of subjects."""

    draws: int = 2000
    level: float = 0.95
    seed: int = 0
    min_subjects: int = 10


DEFAULT = Bootstrap()


@dataclass(frozen=True)
class Interval:
    """An estimate (NaN if undefined), its bounds (None if there are none) and how they were made."""

    estimate: float
    low: float | None
    high: float | None
    method: str
    n_records: int
    n_subjects: int

    @property
    def upper(self) -> float:
        """The upper bound, or the estimate where there is none."""
        return self.estimate if self.high is None else self.high

    @property
    def lower(self) -> float:
        """The lower bound, or the estimate where there is none."""
        return self.estimate if self.low is None else self.low


def _blocks(rows: Values, subjects: Sequence[str]) -> list[Values]:
    """One [n, K] block per subject; the order of blocks and of rows depends on values only."""
    groups: dict[str, list[tuple[float, ...]]] = {}
    for row, subject in zip(rows.tolist(), subjects, strict=True):
        groups.setdefault(subject, []).append(tuple(row))
    return [np.array(block) for block in sorted(sorted(group) for group in groups.values())]


def _resamples(n: int, bootstrap: Bootstrap, rng: np.random.Generator) -> Values:
    """How often each of n subjects is drawn, [draws, n]."""
    return rng.multinomial(n, np.full(n, 1 / n), size=bootstrap.draws).astype(np.float64)


def _bounds(draws: Values, bootstrap: Bootstrap) -> tuple[float | None, float | None]:
    usable = draws[~np.isnan(draws)]
    if not usable.size:
        return None, None
    tail = (1 - bootstrap.level) / 2
    low, high = np.quantile(usable, [tail, 1 - tail])
    return float(low), float(high)


def no_interval(estimate: float, n_records: int, n_subjects: int, bootstrap: Bootstrap = DEFAULT) -> Interval:
    """An estimate over too few subjects for an interval."""
    return Interval(estimate, None, None, f"none: fewer than {bootstrap.min_subjects} subjects", n_records, n_subjects)


def resampled_interval(
    estimate: float, statistic: Callable[[Values], Values], n_subjects: int, n_records: int, bootstrap: Bootstrap
) -> Interval:
    """Percentile interval of a statistic over resampled subjects (Efron 1979).

    Args:
        estimate: The statistic on the sample itself.
        statistic: From how often each subject is drawn, [draws, subjects], to its value, [draws]; NaN is left out.
        n_subjects: Number of subjects; with fewer than `bootstrap.min_subjects` there is no interval.
        n_records: Number of records, for the interval's counts.
        bootstrap: Draws, level and seed.
    """
    if n_subjects < bootstrap.min_subjects:
        return no_interval(estimate, n_records, n_subjects, bootstrap)
    draws = statistic(_resamples(n_subjects, bootstrap, np.random.default_rng(bootstrap.seed)))
    return Interval(estimate, *_bounds(draws, bootstrap), "bootstrap over subjects", n_records, n_subjects)


def two_sided_interval(
    estimate: float,
    first: Callable[[Values], Values],
    second: Callable[[Values], Values],
    n_first: int,
    n_second: int,
    n_records: int,
    bootstrap: Bootstrap,
) -> Interval:
    """Percentile interval of `first - second`, two samples of different subjects, each resampled on its own.

    Args:
        estimate: The difference on the samples themselves.
        first: From how often each subject of the first sample is drawn, [draws, n], to its statistic, [draws].
        second: The same for the second sample.
        n_first: Subjects of the first sample; they count for the least number of subjects.
        n_second: Subjects of the second sample.
        n_records: Records of the first sample, for the interval's counts.
        bootstrap: Draws, level and seed.
    """
    if n_first < bootstrap.min_subjects:
        return no_interval(estimate, n_records, n_first, bootstrap)
    rng = np.random.default_rng(bootstrap.seed)
    draws = first(_resamples(n_first, bootstrap, rng)) - second(_resamples(n_second, bootstrap, rng))
    return Interval(estimate, *_bounds(draws, bootstrap), "bootstrap over subjects, sides apart", n_records, n_first)


def bootstrap_ratio(
    numerator: Values, denominator: Values, subjects: Sequence[str], bootstrap: Bootstrap = DEFAULT
) -> Interval:
    """Σ numerator / Σ denominator over records [N] with a percentile interval over subjects.

    Records where either is NaN are left out. The estimate is NaN where the denominator is not above 0.
    """
    rows = np.stack([np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)], axis=1)
    if len(subjects) != len(rows):
        raise ValueError(f"{len(rows)} records but {len(subjects)} subjects")
    keep = np.flatnonzero(~np.isnan(rows).any(axis=1))
    blocks = _blocks(rows[keep], [subjects[i] for i in keep.tolist()])
    n = len(blocks)
    sums = np.array([block.sum(0) for block in blocks]).reshape(n, 2)
    top, bottom = sums.sum(0)
    estimate = float(top / bottom) if bottom > 0 else np.nan

    def ratio(weight: Values) -> Values:
        drawn = weight @ sums
        undefined = np.full(len(drawn), np.nan)
        return np.asarray(np.divide(drawn[:, 0], drawn[:, 1], out=undefined, where=drawn[:, 1] > 0))

    return resampled_interval(estimate, ratio, n, len(keep), bootstrap)


def bootstrap_mean(values: Values, subjects: Sequence[str], bootstrap: Bootstrap = DEFAULT) -> Interval:
    """Mean over records [N] with a percentile interval over subjects; NaN values are left out."""
    return bootstrap_ratio(values, np.ones(len(values)), subjects, bootstrap)


def paired_difference(
    values: Values, reference: Values, subjects: Sequence[str], bootstrap: Bootstrap = DEFAULT
) -> Interval:
    """Mean of `values - reference` on the same records [N], bootstrapped over subjects."""
    return bootstrap_mean(np.asarray(values) - np.asarray(reference), subjects, bootstrap)


def auc(members: ArrayLike, others: ArrayLike) -> float:
    """P(member > other) + P(equal)/2, the Mann-Whitney statistic; NaN if a side is empty.

    `ValueError` for NaN scores: a missing score must be handled before, not ranked.
    """
    a, b = np.asarray(members, np.float64), np.sort(np.asarray(others, np.float64))
    if np.isnan(a).any() or np.isnan(b).any():
        raise ValueError("membership scores must not be NaN")
    if not a.size or not b.size:
        return np.nan
    wins = np.searchsorted(b, a, "left") + np.searchsorted(b, a, "right")
    return float(wins.sum() / (2 * a.size * b.size))


def _auc_draws(members: list[Values], others: list[Values], column: int, counts_m: Values, counts_o: Values) -> Values:
    """AUC of every resample, [draws], from blocks per subject; both sides resampled on their own."""
    pool = np.concatenate([block[:, column] for block in others])
    starts = np.cumsum([0] + [len(block) for block in others[:-1]])
    wins = np.empty((len(members), len(others)))
    for i, block in enumerate(members):
        own = np.sort(block[:, column])
        below = np.searchsorted(own, pool, "left") + np.searchsorted(own, pool, "right")
        wins[i] = np.add.reduceat(len(own) - below / 2, starts)
    size_m, size_o = (np.array([len(b) for b in side], np.float64) for side in (members, others))
    drawn = ((counts_m @ wins) * counts_o).sum(1)
    return np.asarray(drawn / ((counts_m @ size_m) * (counts_o @ size_o)))


def auc_intervals(
    members: Values,
    others: Values,
    member_subjects: Sequence[str],
    other_subjects: Sequence[str],
    bootstrap: Bootstrap = DEFAULT,
) -> list[Interval]:
    """AUC of each of K models; for two models a third interval, their paired difference (first minus second).

    members, others  scores [N, K], one column per model, same records in each; subjects of members and of
                     non-members are resampled separately, and the same draws serve all models
    """
    a, b = np.asarray(members, np.float64), np.asarray(others, np.float64)
    values = [auc(a[:, k], b[:, k]) for k in range(a.shape[1])]
    sides = _blocks(a, member_subjects), _blocks(b, other_subjects)
    n, records = len(sides[0]) + len(sides[1]), len(a) + len(b)
    if len(values) == 2:
        values.append(values[0] - values[1])
    if min(map(len, sides)) < bootstrap.min_subjects:
        return [no_interval(v, records, n, bootstrap) for v in values]
    rng = np.random.default_rng(bootstrap.seed)
    counts = [_resamples(len(side), bootstrap, rng) for side in sides]
    draws = [_auc_draws(*sides, k, *counts) for k in range(a.shape[1])]
    if len(draws) == 2:
        draws.append(draws[0] - draws[1])
    return [
        Interval(v, *_bounds(d, bootstrap), "bootstrap over subjects, sides apart", records, n)
        for v, d in zip(values, draws, strict=True)
    ]


def rank_p_value(target: float, controls: ArrayLike) -> float:
    """(1 + #{control >= target})/(m + 1): never below 1/(m + 1)."""
    t = np.asarray(controls, np.float64)
    return float((1 + (t >= target).sum()) / (len(t) + 1))


def ks_distance(a: ArrayLike, b: ArrayLike) -> float:
    """Largest distance between two empirical distribution functions, in [0, 1]; NaN if one is empty."""
    x, y = np.sort(np.asarray(a, np.float64)), np.sort(np.asarray(b, np.float64))
    if not x.size or not y.size:
        return np.nan
    points = np.concatenate([x, y])
    difference = np.searchsorted(x, points, "right") / x.size - np.searchsorted(y, points, "right") / y.size
    return float(np.abs(difference).max())
