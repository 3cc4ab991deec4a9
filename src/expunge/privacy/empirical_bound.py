"""A lower bound on epsilon from canaries of one run, which checks the accountants empirically.

Each of m canaries is included by a fair coin, and an observer of the result guesses some of the coins. In an (epsilon,
delta)-private run the number of right guesses is hardly larger than with r coins that come up right with probability
e^eps / (1 + e^eps) each (Steinke, Nasr, Jagielski 2023, arXiv 2305.08846, corollary 5.4), so many right guesses rule
out small epsilons. A low bound proves nothing: canaries may be weak and guesses poor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta, binom

MAX_EPSILON = 64.0  # no number of canaries that fits a run rules out more


@dataclass(frozen=True)
class EpsilonBound:
    """With this confidence, epsilon is at least `epsilon`: `right` of `guesses` coins of `canaries` guessed right."""

    epsilon: float
    right: int
    guesses: int
    canaries: int
    delta: float
    confidence: float


def p_value(epsilon: float, delta: float, canaries: int, guesses: int, right: int) -> float:
    """Upper bound on the probability of at least `right` right guesses in an (epsilon, delta)-private run.

    P[X >= v] + 2 m delta max over i of P[v - i <= X < v] / i, X binomial with r trials of e^eps / (1 + e^eps).
    """
    if not 0 <= right <= guesses <= canaries:
        raise ValueError(f"{right} right of {guesses} guesses on {canaries} canaries")
    rate = 1 / (1 + math.exp(-epsilon))
    tail = float(binom.sf(right - 1, guesses, rate))
    below = binom.pmf(np.arange(right - 1, -1, -1), guesses, rate).cumsum()  # P[v - i <= X < v], i = 1 ... v
    worst = float((below / np.arange(1, right + 1)).max()) if right else 0.0
    return min(1.0, tail + 2 * canaries * delta * worst)


def epsilon_at_least(right: int, guesses: int, canaries: int, delta: float = 0.0, confidence: float = 0.95) -> float:
    """The largest epsilon that is ruled out, rounded down to 1e-4; 0 if none is.

    The choice of coins to guess must not depend on their outcome. Arguments as in `EpsilonBound`.
    """
    level = 1 - confidence
    if not guesses or p_value(0.0, delta, canaries, guesses, right) > level:
        return 0.0
    low, high = 0.0, MAX_EPSILON
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (middle, high) if p_value(middle, delta, canaries, guesses, right) <= level else (low, middle)
    return low


def from_scores(
    scores: Sequence[float],
    included: Sequence[bool],
    guesses: int | None = None,
    delta: float = 0.0,
    confidence: float = 0.95,
) -> EpsilonBound:
    """Guess "in" for the highest scores and "out" for the lowest, half each, and bound epsilon.

    Args:
        scores: one per canary.
        included: the coins.
        guesses: number of coins to guess, chosen before the run; None for all. An odd number has one more "in".
        delta: of the run.
        confidence: of the bound.
    """
    count = len(scores) if guesses is None else guesses
    if not 0 <= count <= len(scores) or len(scores) != len(included):
        raise ValueError(f"{count} guesses on {len(scores)} scores of {len(included)} canaries")
    order = np.argsort(-np.asarray(scores, float), kind="stable")
    coins = np.asarray(included, bool)
    right = int(coins[order[: count - count // 2]].sum() + (~coins[order[len(order) - count // 2 :]]).sum())
    epsilon = epsilon_at_least(right, count, len(coins), delta, confidence)
    return EpsilonBound(epsilon, right, count, len(coins), delta, confidence)


def from_many_runs(
    true_positives: int,
    included: int,
    false_positives: int,
    excluded: int,
    delta: float = 0.0,
    confidence: float = 0.95,
) -> float:
    """A lower bound from independent runs with and without one unit, by Clopper-Pearson intervals.

    log((lowest TPR - delta) / highest FPR), each interval at half of 1 - confidence; at least 0.

    Args:
        true_positives: runs with the unit that were called "in".
        included: runs with the unit.
        false_positives: runs without the unit that were called "in".
        excluded: runs without the unit.
        delta: of the runs.
        confidence: of the bound.
    """
    half = (1 - confidence) / 2
    lowest = float(beta.ppf(half, true_positives, included - true_positives + 1)) if true_positives else 0.0
    highest = (
        float(beta.ppf(1 - half, false_positives + 1, excluded - false_positives))
        if false_positives < excluded
        else 1.0
    )
    return math.log((lowest - delta) / highest) if lowest - delta > highest else 0.0
