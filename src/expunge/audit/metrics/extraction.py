"""Verbatim memory: how much of an answer comes out when its beginning is given.

Surprising: the split may fall after the last token (k = L), so an answer without a hit scores 0 at every
length. (The common implementation stops at L - 1: its floor is 1/L, and every one-token answer scores 1.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from expunge.audit.metrics.base import Records, metric
from expunge.audit.scores import Scores, Values

STRATA = (("1", 1, 1), ("2-5", 2, 5), ("6-20", 6, 20), (">20", 21, np.inf))


@metric("extraction_strength")
def extraction_strength(scores: Scores, records: Records) -> Values:
    """1 - k/L for the least k in 0..L with every token from k on hit; coarse for L of 1 or 2."""
    if not len(scores):
        return np.zeros(0)
    position = np.arange(len(scores.hit)) - np.repeat(scores.offsets[:-1], scores.length)
    last_miss = np.maximum.reduceat(np.where(scores.hit, -1, position), scores.offsets[:-1])
    return np.asarray(1 - (last_miss + 1) / scores.length)


@metric("exact_memorization", floor="controls")
def exact_memorization(scores: Scores, records: Records) -> Values:
    """Share of answer tokens that are the most probable token; high for anybody on templated text."""
    return np.asarray(scores.sum(scores.hit) / scores.length)


def by_stratum(values: Values, length: NDArray[np.int64]) -> dict[str, tuple[int, float]]:
    """Answer-length stratum (tokens) to (records, mean); empty strata are left out."""
    groups = {name: values[(length >= low) & (length <= high) & ~np.isnan(values)] for name, low, high in STRATA}
    return {name: (len(group), float(group.mean())) for name, group in groups.items() if len(group)}
