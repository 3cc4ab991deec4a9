"""Probability of an answer, normalized for its length."""

from __future__ import annotations

import numpy as np

from expunge.audit.metrics.base import Records, metric
from expunge.audit.scores import Scores, Values


def probability(scores: Scores, with_end: bool = False) -> Values:
    """exp(mean log p) of the answer tokens, [N]. `with_end` counts the end token too, as TOFU does."""
    if not with_end:
        return np.exp(-scores.nll / scores.length)
    present = ~np.isnan(scores.eos_logp)
    total = -scores.nll + np.where(present, scores.eos_logp, 0)
    return np.asarray(np.exp(total / (scores.length + present)))


@metric("answer_prob")
def answer_prob(scores: Scores, records: Records) -> Values:
    """exp(mean log p) of the answer tokens, in [0, 1].

    The probability of the answer normalized for its length, as in TOFU (arXiv 2401.06121), but without the end token.
    """
    return probability(scores)
