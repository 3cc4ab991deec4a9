"""What epsilon must at least have been, from canaries of one run: a check on the accounts, from the other side.

Each of m canaries was put in by a fair coin; somebody who sees the result guesses some of the coins. In an (epsilon,
delta)-private run the number of right guesses is hardly larger than with r coins that come up right with probability
e^eps / (1 + e^eps) each (Steinke, Nasr, Jagielski 2023, arXiv 2305.08846, corollary 5.4). So many right guesses rule
small epsilons out. Surprising: a low bound says nothing; canaries may be weak and guesses poor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta, binom

LARGEST = 64.0  # epsilon; no number of canaries that fits a run rules out more


@dataclass(frozen=True)
class Bound:
    """`right` of `guesses` coins guessed, out of `canaries`: epsilon is at least `epsilon` with this confidence."""

    epsilon: float
    right: int
    guesses: int
    canaries: int
    delta: float
    confidence: float


def p_value(epsilon: float, delta: float, canaries: int, guesses: int, right: int) -> float:
    """Chance of at least `right` right guesses in an (epsilon, delta)-private run, at most.

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
    """The largest epsilon that is ruled out, to 1e-4 downwards; 0 if none is.

    right, guesses, canaries   as in `Bound`; which coins are guessed must not depend on how they fell
    """
    level = 1 - confidence
    if not guesses or p_value(0.0, delta, canaries, guesses, right) > level:
        return 0.0
    low, high = 0.0, LARGEST
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
) -> Bound:
    """Guess "in" for the highest scores and "out" for the lowest, half each, and bound epsilon.

    guesses  how many coins are guessed, chosen before the run; None for all. With an odd number one more is "in".
    """
    count = len(scores) if guesses is None else guesses
    if not 0 <= count <= len(scores) or len(scores) != len(included):
        raise ValueError(f"{count} guesses on {len(scores)} scores of {len(included)} canaries")
    order = np.argsort(-np.asarray(scores, float), kind="stable")
    coins = np.asarray(included, bool)
    right = int(coins[order[: count - count // 2]].sum() + (~coins[order[len(order) - count // 2 :]]).sum())
    least = epsilon_at_least(right, count, len(coins), delta, confidence)
    return Bound(least, right, count, len(coins), delta, confidence)


def from_many_runs(
    found: int, included: int, false: int, excluded: int, delta: float = 0.0, confidence: float = 0.95
) -> float:
    """A lower bound from independent runs with and without one unit, by Clopper and Pearson's intervals.

    found   of `included` runs with the unit, how many were called "in"; false: of `excluded` runs without it
    log(((lowest rate of found) - delta) / (highest rate of false)), each at half of 1 - confidence; at least 0.
    """
    half = (1 - confidence) / 2
    lowest = float(beta.ppf(half, found, included - found + 1)) if found else 0.0
    highest = float(beta.ppf(1 - half, false + 1, excluded - false)) if false < excluded else 1.0
    return math.log((lowest - delta) / highest) if lowest - delta > highest else 0.0
