"""What happened around the target: retention by relation and by distance in the tree, and the gap to
retrained.

Surprising: retention is a ratio of sums, not a mean of ratios, so a record that was hardly known before
weighs little. It may exceed 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from expunge.audit.metrics.published import MIN_GAP
from expunge.audit.scores import Values
from expunge.audit.statistics import DEFAULT, Bootstrap, Interval, bootstrap_ratio


def retention(after: Values, before: Values, subjects: Sequence[str], plan: Bootstrap = DEFAULT) -> Interval:
    """Σ after / Σ before over records of one relation, bootstrapped by subject; NaN if nothing was known."""
    return bootstrap_ratio(after, before, subjects, plan)


def retention_by(
    relation: Mapping[str, str],
    ids: Sequence[str],
    after: Values,
    before: Values,
    subjects: Sequence[str],
    plan: Bootstrap = DEFAULT,
) -> dict[str, Interval]:
    """Retention of every relation (or any grouping of record ids), never pooled over relations."""
    names = np.array([relation.get(i, "") for i in ids], dtype=object)
    people = np.array(subjects, dtype=object)
    return {
        name: retention(after[names == name], before[names == name], people[names == name].tolist(), plan)
        for name in sorted(set(names.tolist()) - {""})
    }


def retention_area(curve: Mapping[int, float]) -> float:
    """Area under retention against tree distance, divided by the span; the value itself for one distance."""
    if not curve:
        return float("nan")
    d, r = np.array(sorted(curve.items()), dtype=np.float64).T
    return float(r[0]) if len(d) == 1 else float(np.trapezoid(r, d) / (d[-1] - d[0]))


def gap(unlearned: float, retrained: float, original: float) -> float:
    """(u - r)/(o - r): 0 = like retrained, 1 = original, below 0 over-forgotten; NaN if |o - r| < .05."""
    span = original - retrained
    return (unlearned - retrained) / span if abs(span) >= MIN_GAP else np.nan
