"""Verbatim memory: how much of an answer the model completes from its beginning.

The split may fall after the last token (k = L), so that an answer without a hit scores 0 at every length. The common
implementation stops at L - 1, with a floor of 1/L and 1 for every one-token answer.
"""

from __future__ import annotations

import numpy as np

from expunge.audit.metrics.base import Records, metric
from expunge.audit.scores import Scores, Values


@metric("extraction_strength")
def extraction_strength(scores: Scores, records: Records) -> Values:
    """1 - k/L for the least k in 0..L with every answer token from k on a greedy hit.

    The share of the answer that the model completes from its beginning (Carlini et al. 2021, arXiv 2012.07805). Coarse
    for answers of one or two tokens.
    """
    if not len(scores):
        return np.zeros(0)
    position = np.arange(len(scores.hit)) - np.repeat(scores.offsets[:-1], scores.length)
    last_miss = np.maximum.reduceat(np.where(scores.hit, -1, position), scores.offsets[:-1])
    return np.asarray(1 - (last_miss + 1) / scores.length)


@metric("exact_memorization", floor="controls")
def exact_memorization(scores: Scores, records: Records) -> Values:
    """Share of answer tokens that are the most probable token.

    Teacher-forced token accuracy (Tirumala et al. 2022, arXiv 2205.10770). High on templated text even without memory,
    so matched controls show its floor.
    """
    return np.asarray(scores.sum(scores.hit) / scores.length)
