"""Leakage by the worst wording: what is left of a fact in the wording, and by the measure, that shows most of it.

A fact leaks as soon as one wording leaks it. A mean over wordings or measures never replaces the worst.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from expunge.audit.metrics.base import METRICS
from expunge.audit.scores import Scores, Values
from expunge.audit.statistics import DEFAULT, Bootstrap, Interval, paired_difference
from expunge.corpus import Record

MEASURES = ("extraction_strength", "exact_match", "cloze_top1", "answer_prob")
SHORT = 3  # answers of fewer tokens are judged by the choice among fillers: extraction strength is too coarse


@dataclass(frozen=True)
class LeakageAxis:
    """The worst measure of one record set, its excess over the reference, and the excess of all measures."""

    kind: str
    excess: Interval
    by_kind: Mapping[str, Interval]


def leakage_values(scores: Scores, by_id: Mapping[str, Record], owners: Sequence[str]) -> dict[str, Values]:
    """Measure to values [N] of wordings; `owners` [N] names the record that each wording belongs to.

    `extraction_strength` leaves answers below three tokens to `cloze_top1` where that applies; `answer_prob` counts
    rephrasings, and the trained wording only where there is none.
    """
    values = {kind: METRICS.get(kind)(scores, by_id) for kind in MEASURES}
    by_choice = (scores.length < SHORT) & ~np.isnan(values["cloze_top1"])
    values["extraction_strength"] = np.where(by_choice, np.nan, values["extraction_strength"])
    rephrased = {owner for name, owner in zip(scores.ids, owners, strict=True) if name != owner}
    trained = np.array([name in rephrased for name in scores.ids], dtype=bool)
    values["answer_prob"] = np.where(trained, np.nan, values["answer_prob"])
    return values


def worst_wording(values: Values, owners: Sequence[str]) -> dict[str, float]:
    """Record to the largest value over its wordings; `owners` [N] names the record of each wording.

    NaN wordings are left out; a record with no others is NaN.
    """
    worst: dict[str, float] = {}
    for owner, value in zip(owners, values.tolist(), strict=True):
        worst[owner] = float(np.fmax(worst.get(owner, np.nan), value))
    return worst


def leakage_axis(
    unlearned: Mapping[str, Values],
    reference: Mapping[str, Values],
    subjects: Sequence[str],
    bootstrap: Bootstrap = DEFAULT,
) -> LeakageAxis:
    """Paired excess of each measure over the reference on the same records [N]; the largest upper bound decides.

    Raises:
        ValueError: the measures differ, or none applies to any record.
    """
    if set(unlearned) != set(reference):
        raise ValueError(f"kinds differ: {sorted(unlearned)} and {sorted(reference)}")
    by_kind = {k: paired_difference(values, reference[k], subjects, bootstrap) for k, values in unlearned.items()}
    by_kind = {kind: excess for kind, excess in by_kind.items() if excess.n_records}
    if not by_kind:
        raise ValueError("no kind of question applies to these records")
    worst = max(sorted(by_kind), key=lambda kind: by_kind[kind].upper)
    return LeakageAxis(worst, by_kind[worst], by_kind)
