"""One case against a small sample of others: how large a value do they explain by chance?

The modified t-test of Crawford and Howell (1998) treats the mean and the spread of the sample as estimates, so its
level holds for few others. A rate of few questions is skewed besides, and the beta-binomial prediction of its hits says
how far it goes by chance. The larger of both limits counts, and the largest of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

LEAST_OTHERS = 3
PRIOR = 0.5  # of hits and of misses: Jeffreys


def largest_by_chance(others: Sequence[float], level: float, questions: int, is_rate: bool = True) -> float:
    """The largest value that one more of these people shows by chance; a larger one has a probability below `level`.

    Args:
        others: Values of others; at least three.
        level: Of the one-sided test.
        questions: That stand behind the value. A spread below half a question is taken for half a question.
        is_rate: The values are shares of the questions. A difference of two rates is not.

    Source:
        Crawford and Howell, The Clinical Neuropsychologist 12 (1998), 482-486.

    Raises:
        ValueError: fewer than three others, or a value that is not finite.
    """
    from scipy.stats import betabinom, t

    values = np.asarray(others, np.float64)
    count = len(values)
    if count < LEAST_OTHERS or not np.isfinite(values).all():
        raise ValueError("a comparison needs at least three others and finite values")
    spread = max(float(values.std(ddof=1)), 0.5 / questions) * np.sqrt(1 + 1 / count)
    limits = [float(values.mean() + t.isf(level, count - 1) * spread), float(values.max())]
    if is_rate:
        hits = float(np.clip(values, 0, 1).sum()) * questions
        misses = count * questions - hits
        limits.append(float(betabinom.isf(level, questions, PRIOR + hits, PRIOR + misses)) / questions)
    return max(limits)


@dataclass(frozen=True)
class ChanceLimits:
    """How far others go, and how far chance goes.

    Attributes:
        passing: Up to which a value passes: a percentile of the others.
        failing: Above which it fails: what chance explains at the level of one among all tests that decide.
        mean: Of the others.
        count: Of the others.
    """

    passing: float
    failing: float
    mean: float
    count: int

    @classmethod
    def of(
        cls, others: Sequence[float], percentile: float, level: float, questions: int, is_rate: bool = True
    ) -> ChanceLimits:
        """The percentile of the others, and `largest_by_chance`, which no percentile exceeds."""
        failing = largest_by_chance(others, level, questions, is_rate)
        return cls(float(np.percentile(others, percentile)), failing, float(np.mean(others)), len(others))

    def judge(self, value: float) -> Literal["passed", "failed", "inconclusive"]:
        """Passed up to the first limit, failed above the second, inconclusive in between."""
        return "passed" if value <= self.passing else "failed" if value > self.failing else "inconclusive"

    def unseen(self, original: float) -> float:
        """Share of what the original model holds beyond the others that a pass may leave unseen; 1 or more: all."""
        return (self.passing - self.mean) / (original - self.mean) if original > self.mean else float("inf")
