"""Leakage of a record set: the rate of its worst kind of question, and its excess over a reference.

The reference is another model on the same records (paired), or never-trained matched controls on the same model. With
few subjects a difference to the controls' mean says little, because a rate of four records moves in steps of a quarter:
`range_of_controls.py` holds such a failure against others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from expunge.audit.context import mean
from expunge.audit.scores import Values
from expunge.audit.statistics import Bootstrap, Interval, resampled_interval, two_sided_interval


@dataclass(frozen=True)
class KindRates:
    """Values by kind of question: [N] each, NaN for records of other kinds; `subjects` [N] of the records."""

    values: Mapping[str, Values]
    subjects: Sequence[str]

    @property
    def worst(self) -> tuple[str, float]:
        """The kind of question with the largest mean, and that mean."""
        return worst(self.values)

    def of(self, subjects: set[str]) -> float:
        """The largest mean over kinds, of the records of these subjects; NaN without any."""
        mine = np.array([s in subjects for s in self.subjects], dtype=bool)
        rates = [mean(v[mine]) for v in self.values.values()]
        return float(np.nanmax(rates)) if np.isfinite(rates).any() else float("nan")

    def by_subject(self, subjects: Sequence[str]) -> dict[str, float]:
        """Subject to its `of`; without those that have no rate."""
        rates = {s: self.of({s}) for s in subjects}
        return {s: rate for s, rate in rates.items() if np.isfinite(rate)}

    def count(self, subject: str) -> int:
        """Records of a subject that have a value of some kind."""
        mine = np.array([s == subject for s in self.subjects], dtype=bool)
        values = [np.isfinite(v[mine]) for v in self.values.values()]
        return int(np.logical_or.reduce(values).sum()) if values else 0

    def count_worst(self, subject: str) -> int:
        """Records of a subject that have a value of the kind with its largest mean; at least 1."""
        mine = np.array([s == subject for s in self.subjects], dtype=bool)
        kind, _ = worst({k: v[mine] for k, v in self.values.items() if np.isfinite(v[mine]).any()})
        return max(1, int(np.isfinite(self.values[kind][mine]).sum())) if kind else 1

    def __add__(self, other: KindRates) -> KindRates:
        """Both sets of records as one."""
        kinds = sorted({*self.values, *other.values})
        nothing = [np.full(len(part.subjects), np.nan) for part in (self, other)]
        values = {k: np.concatenate([self.values.get(k, nothing[0]), other.values.get(k, nothing[1])]) for k in kinds}
        return KindRates(values, [*self.subjects, *other.subjects])


def worst(values: Mapping[str, Values]) -> tuple[str, float]:
    """The kind of question with the largest mean, and that mean; ("", NaN) without any."""
    rates = {kind: mean(v) for kind, v in values.items()}
    kind = max(sorted(rates), key=lambda k: rates[k], default="")
    return kind, rates.get(kind, float("nan"))


def excess_interval(
    ours: Mapping[str, Values], theirs: Mapping[str, Values], subjects: Sequence[str], bootstrap: Bootstrap
) -> Interval:
    """Worst kind of ours minus worst kind of theirs on the same records [N], bootstrapped over subjects."""
    names = {s: k for k, s in enumerate(sorted(set(subjects)))}
    both = np.hstack([_table(ours, subjects, names), _table(theirs, subjects, names)])
    both = both[np.lexsort(both.T)]  # by values, so that the names of subjects have no influence
    cut = 2 * len(ours)

    def excess(weight: Values) -> Values:
        sums = weight @ both
        return _top(sums[:, :cut]) - _top(sums[:, cut:])

    estimate = float(excess(np.ones((1, len(names))))[0])
    return resampled_interval(estimate, excess, len(names), len(subjects), bootstrap)


def control_excess(ours: KindRates, controls: KindRates, bootstrap: Bootstrap) -> Interval:
    """Worst kind of ours minus worst kind of the controls; both sides are resampled on their own."""
    estimate = ours.worst[1] - controls.worst[1]
    tables = []
    for side in (ours, controls):
        names = {s: k for k, s in enumerate(sorted(set(side.subjects)))}
        table = _table(side.values, side.subjects, names)
        tables.append(table[np.lexsort(table.T)])
    first, second = tables
    if len(first) < bootstrap.min_subjects:
        return Interval(estimate, None, None, "difference to controls", len(ours.subjects), len(first))
    return two_sided_interval(
        estimate, lambda w: _top(w @ first), lambda w: _top(w @ second), len(first), len(second), len(ours.subjects),
        bootstrap,
    )  # fmt: skip


def _table(kinds: Mapping[str, Values], subjects: Sequence[str], names: Mapping[str, int]) -> Values:
    """[subjects, 2 kinds]: sum and count of each kind."""
    index = np.array([names[s] for s in subjects])
    columns: list[Values] = []
    for values in kinds.values():
        applies = np.isfinite(values)
        for weights in (values[applies], np.ones(int(applies.sum()))):
            columns.append(np.asarray(np.bincount(index[applies], weights, len(names)), dtype=np.float64))
    return np.stack(columns, axis=1)


def _top(sums: Values) -> Values:
    """The largest mean over kinds [draws]; NaN where no record of any kind counts."""
    totals, counts = sums[:, ::2], sums[:, 1::2]
    means = np.where(counts > 0, totals / np.where(counts > 0, counts, 1.0), -np.inf).max(1)
    return np.asarray(np.where(np.isfinite(means), means, np.nan))


def comparable(control: int, target: int) -> bool:
    """Whether a control was asked about half as many records as the target, at least: the rates of fewer scatter more,
    and their range would hold what the target's own scatter does not."""
    return 2 * control >= target


def questions_behind(kinds: KindRates, subjects: Iterable[str]) -> dict[str, int]:
    """Subject to the number of its questions of the kind that is worst for it."""
    return {s: kinds.count_worst(s) for s in subjects}
