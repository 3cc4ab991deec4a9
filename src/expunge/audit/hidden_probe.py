"""A linear translation of hidden states between blocks, chosen with folds of whole people."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from expunge.audit.scores import Values
from expunge.random import stream

Places = NDArray[np.intp]
FOLDS = 5
RIDGE = 0.1  # share of the mean squared norm of a centered state


def subject_folds(subjects: Sequence[str], folds: int, seed: int) -> Values:
    """Fold of each record [N]; all records of a subject are in one, and folds have as many subjects as each other."""
    names = sorted(set(subjects))
    order = stream(seed, "probe folds").permutation(len(names))
    fold = {names[int(k)]: place % folds for place, k in enumerate(order)}
    return np.array([fold[s] for s in subjects], dtype=np.float64)


def translated(start: Values, end: Values, states: Values, ridge: float = RIDGE) -> Values:
    """Where a linear map from `start` to `end` [N, H] takes `states` [M, H]: the state itself plus a learned change.

    The change is a ridge regression of end - start on the centered start, solved among records, since there are fewer
    of them than entries of a state. Where all changes are equal, that change is added.
    """
    middle, change = start.mean(0), end - start
    centered = start - middle
    kernel = centered @ centered.T
    penalty = max(ridge * float(np.trace(kernel)) / len(start), 1e-12)
    dual = np.linalg.solve(kernel + penalty * np.eye(len(start)), change - change.mean(0))
    return np.asarray(states + change.mean(0) + (states - middle) @ centered.T @ dual)


def out_of_fold(
    start: Values, end: Values, subjects: Sequence[str], rate: Callable[[Values, Places], Values], seed: int
) -> float:
    """Mean `rate(states [n, H], places [n])` of records whose translation was learned from other people's records."""
    fold = subject_folds(subjects, min(FOLDS, len(set(subjects))), seed)
    rates = np.zeros(len(subjects))
    for number in sorted(set(fold.tolist())):
        out = fold == number
        rates[out] = rate(translated(start[~out], end[~out], start[out]), np.flatnonzero(out))
    return float(rates.mean())
