"""Filling a blank: the exact fill, and the true filler against fillers of the same type."""

from __future__ import annotations

from expunge.audit.metrics.base import Records, metric
from expunge.audit.metrics.exact_match import matches
from expunge.audit.metrics.mcq import chance, choices
from expunge.audit.scores import Scores, Values


@metric("cloze_acc", kinds=frozenset({"cloze"}), interval="clopper_pearson")
def cloze_acc(scores: Scores, records: Records) -> Values:
    """1 if the fill equals the answer (normalized), else 0; no stemming and no partial credit."""
    return matches(scores, records)


@metric("cloze_top1", kinds=frozenset({"cloze", "completion", "generation"}), floor="chance", chance=chance)
def cloze_top1(scores: Scores, records: Records) -> Values:
    """1 if the true filler ranks first of m of its type (per byte), else 0; chance 1/m, ties share."""
    return choices(scores, records)
