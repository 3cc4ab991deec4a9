"""ROUGE-L (Lin 2004): ours for every language, and the official one of published benchmarks.

The two differ on anything that is not plain English.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from expunge.audit.metrics.base import Records, metric, per_record
from expunge.audit.scores import Scores, Values
from expunge.audit.text_normalization import tokens


class Rouge(NamedTuple):
    """ROUGE-L of one output, each in [0, 1]; NaN if the reference holds no word."""

    recall: float
    precision: float
    f1: float


def lcs_length(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence; bit-parallel (Hyyrö 2004), len(b) big-integer steps."""
    places: dict[str, int] = {}
    for i, token in enumerate(a):
        places[token] = places.get(token, 0) | 1 << i
    full = (1 << len(a)) - 1
    row = full
    for token in b:
        common = row & places.get(token, 0)
        row = ((row + common) | (row - common)) & full
    return len(a) - row.bit_count()


def rouge_l(reference: str, output: str) -> Rouge:
    """ROUGE-L over Unicode tokens (`text_normalization.tokens`), no stemming."""
    a, b = tokens(reference), tokens(output)
    if not a:
        return Rouge(np.nan, np.nan, np.nan)
    common = lcs_length(a, b)
    recall, precision = common / len(a), common / len(b) if b else 0.0
    return Rouge(recall, precision, 2 * recall * precision / (recall + precision) if common else 0.0)


def official_rouge_l(reference: str, output: str, stem: bool) -> Rouge:
    """ROUGE-L of the `rouge_score` package as it is: a-z and 0-9 only, optional Porter stemming."""
    score = _official_scorer(stem).score(reference, output)["rougeL"]
    return Rouge(score.recall, score.precision, score.fmeasure)


@lru_cache(maxsize=2)
def _official_scorer(stem: bool) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], use_stemmer=stem)


def _rouge(scores: Scores, records: Records) -> list[Rouge]:
    if scores.text is None:
        return [Rouge(np.nan, np.nan, np.nan)] * len(scores)
    return [rouge_l(r.answer, output) for r, output in zip(records, scores.text, strict=True)]


@metric("rouge_l_recall", floor="controls")
def rouge_l_recall(scores: Scores, records: Records) -> Values:
    """Longest common subsequence of output and answer over answer length (ROUGE-L recall, Lin 2004).

    Long outputs gain. Over Unicode tokens; needs generated text.
    """
    return per_record(r.recall for r in _rouge(scores, records))


@metric("rouge_l_f1", floor="controls")
def rouge_l_f1(scores: Scores, records: Records) -> Values:
    """Harmonic mean of ROUGE-L recall and precision (Lin 2004).

    Over Unicode tokens; needs generated text.
    """
    return per_record(r.f1 for r in _rouge(scores, records))
