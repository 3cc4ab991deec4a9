"""The leak axis: what is still there of the facts to be forgotten, by the kind of question that shows most of
it.

Surprising: a fact counts as leaked as soon as one wording leaks it (the worst wording counts), and an axis
counts by its worst kind. A mean over wordings or kinds never stands in for the worst.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expunge.audit.metrics.base import METRICS
from expunge.audit.scores import Scores, Values
from expunge.audit.statistics import DEFAULT, Bootstrap, Interval, paired_difference
from expunge.corpus import Record

KINDS = ("extraction_strength", "exact_match", "cloze_top1", "answer_prob")
KNOWN_MARGIN = 0.05
SHORT = 3  # below so many tokens extraction strength is too coarse and the choice among fillers judges


@dataclass(frozen=True)
class LeakageValue:
    """The leak axis of one record set: the worst kind, its excess over the reference, and all kinds."""

    kind: str
    excess: Interval
    by_kind: Mapping[str, Interval]


def leak_values(scores: Scores, by_id: Mapping[str, Record], owners: Sequence[str]) -> dict[str, Values]:
    """Every kind's values [N] for wordings; `owners` [N] names the record that each wording belongs to.

    `extraction_strength` leaves answers below three tokens to `cloze_top1` where that applies; `answer_prob`
    is asked of rephrasings, and of the trained wording only where there is none.
    """
    values = {kind: METRICS.get(kind)(scores, by_id) for kind in KINDS}
    judged_by_choice = (scores.length < SHORT) & ~np.isnan(values["cloze_top1"])
    values["extraction_strength"] = np.where(judged_by_choice, np.nan, values["extraction_strength"])
    rephrased = {owner for name, owner in zip(scores.ids, owners, strict=True) if name != owner}
    trained = np.array([name in rephrased for name in scores.ids], dtype=bool)
    values["answer_prob"] = np.where(trained, np.nan, values["answer_prob"])
    return values


def worst_wording(values: Values, owners: Sequence[str]) -> dict[str, float]:
    """Record id to the largest value over its wordings; `owners` [N] names the record of each wording.

    NaN wordings are passed over; a record with nothing else is NaN.
    """
    worst: dict[str, float] = {}
    for owner, value in zip(owners, values.tolist(), strict=True):
        worst[owner] = float(np.fmax(worst.get(owner, np.nan), value))
    return worst


def known(original: Values, retrained: Values, margin: float = KNOWN_MARGIN) -> NDArray[np.bool_]:
    """[N] True where `original` knew the fact: score above `retrained` + margin. Else forgetting is void."""
    return np.asarray(original > retrained + margin)


def leak_axis(
    unlearned: Mapping[str, Values], reference: Mapping[str, Values], subjects: Sequence[str], plan: Bootstrap = DEFAULT
) -> LeakageValue:
    """Paired excess of each kind over the reference on the same records [N], and the kind with the largest
    bound.

    `ValueError` if the kinds differ or none applies to any record.
    """
    if set(unlearned) != set(reference):
        raise ValueError(f"kinds differ: {sorted(unlearned)} and {sorted(reference)}")
    by_kind = {kind: paired_difference(values, reference[kind], subjects, plan) for kind, values in unlearned.items()}
    by_kind = {kind: excess for kind, excess in by_kind.items() if excess.n_records}
    if not by_kind:
        raise ValueError("no kind of question applies to these records")
    worst = max(sorted(by_kind), key=lambda kind: by_kind[kind].upper)
    return LeakageValue(worst, by_kind[worst], by_kind)
