"""The rank of the true answer among candidates, and what context adds.

Equal candidates share a place, so that a model without any preference scores exactly chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from expunge.audit.scores import Values


class RankResult(NamedTuple):
    """The true answer among m candidates: `top1` in [0, 1] (ties share it), `rank` 1 … m, `score` (m-rank)/(m-1)."""

    top1: float
    rank: float
    score: float


def rank_of(likelihoods: Sequence[float]) -> RankResult:
    """Rank of the first of m >= 2 likelihoods, the true answer's. (-1, -2, -.5, -1) gives 0, 2.5, .5."""
    own, others = likelihoods[0], np.asarray(likelihoods[1:], np.float64)
    better, equal = int((others > own).sum()), int((others == own).sum())
    rank = 1 + better + equal / 2
    return RankResult(0.0 if better else 1 / (1 + equal), rank, (len(likelihoods) - rank) / len(others))


def per_byte(logprob: Sequence[float], size: Sequence[int]) -> list[float]:
    """Log-likelihoods divided by the bytes of their texts."""
    return [value / max(n, 1) for value, n in zip(logprob, size, strict=True)]


def gain(values: Values) -> Values:
    """Values [N, levels] minus those at level 0 of the same fact; NaN where either is missing."""
    return np.asarray(values - values[:, :1])


def lead(true: Values, control: Values) -> Values:
    """True context minus a control [N, levels], fact by fact; NaN where either is missing."""
    return np.asarray(true - control)
