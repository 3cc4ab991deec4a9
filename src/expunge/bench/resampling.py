"""The figures of one model on records drawn with replacement: counts of each record in place of the records.

`counts` [B, N] says how often each of N records is drawn in each of B draws; a row of ones is the sample itself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def draw_counts(records: int, draws: int, seed: int) -> Values:
    """[1 + draws, N]: first the sample itself, then draws of N records with replacement."""
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(records, np.full(records, 1 / max(records, 1)), size=draws)
    return np.concatenate([np.ones((1, records)), counts]).astype(np.float64)


def means(values: Values, counts: Values) -> Values:
    """Mean of values [N] in each draw, [B]; NaN for a draw that counts none."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((counts @ values) / counts.sum(-1))


def ratios(after: Values, before: Values, counts: Values) -> Values:
    """Sum of `after` [N] over the sum of `before` [N] in each draw, [B]."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((counts @ after) / (counts @ before))


def aucs(members: Values, others: Values, of_members: Values, of_others: Values) -> Values:
    """Share of pairs (member [N], other [M]) in which the member's value is larger, ties half, in each draw, [B]."""
    above = (members[:, None] > others[None, :]) + 0.5 * (members[:, None] == others[None, :])
    pairs = ((of_members @ above) * of_others).sum(-1)
    return np.asarray(pairs / of_members.sum(-1) / of_others.sum(-1))


def ks_distances(first: Values, second: Values, counts: Values) -> Values:
    """Largest distance of the distribution functions of two values [N] of the same records, in each draw, [B]."""
    cuts = np.unique(np.concatenate([first, second]))
    below = (first[:, None] <= cuts).astype(np.float64) - (second[:, None] <= cuts)
    return np.asarray(np.abs(counts @ below).max(-1) / counts.sum(-1))
