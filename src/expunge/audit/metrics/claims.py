"""The claims of arXiv 2511.19498 in its own terms, and what must stand beside them; never part of the verdict.

The rates themselves (`fr_*`, `kpr_*`, `us`, `mia_resistance`) are those of `aggregates`; here is what keeps them
honest. Surprising: a model that guesses among four options "forgets" .75, and one that avoids the right option more
still; so an accuracy below the guessing band is flagged as over-forgetting, however good the rate looks. In the same
way a destroyed model has AUC .5, so membership resistance is also measured from the retrained model's AUC.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import NamedTuple

from expunge.audit.metrics.mcq import chance_corrected as choice_cc
from expunge.audit.metrics.published import fr_abs, fr_chance, fr_rel, kpr_abs, kpr_rel, mia_resistance, us

__all__ = [
    "Band",
    "chance_level",
    "choice_cc",
    "fr_abs",
    "fr_chance",
    "fr_rel",
    "guessing_band",
    "kpr_abs",
    "kpr_rel",
    "mia_resistance",
    "mia_resistance_to",
    "over_forgotten",
    "us",
]


class Band(NamedTuple):
    """Accuracies that guessing gives with the stated probability, ends included."""

    low: float
    high: float


def mia_resistance_to(auc: float, retrained_auc: float) -> float:
    """1 - 2 |AUC - retrained AUC|, in [-1, 1]: 1 = as hard to tell as where the records were never trained."""
    return 1 - 2 * abs(auc - retrained_auc)


def chance_level(answers: Sequence[Hashable], options: int = 4, permuted: bool = True) -> float:
    """What knowing nothing scores: 1/options if options were permuted, else the share of the most frequent answer.

    answers  place (or letter) of the right option of every question; `ValueError` for none
    """
    if not answers:
        raise ValueError("no answers, so no chance level")
    return 1 / options if permuted else Counter(answers).most_common(1)[0][1] / len(answers)


def guessing_band(n: int, chance: float = 0.25, level: float = 0.95) -> Band:
    """Central `level` of the accuracy of pure guessing on n questions: binomial quantiles over n."""
    from scipy.stats import binom

    tail = (1 - level) / 2
    return Band(*(float(q) / n for q in binom.ppf([tail, 1 - tail], n, chance)))


def over_forgotten(accuracy: float, n: int, chance: float = 0.25, level: float = 0.95) -> bool:
    """True if the accuracy on n questions lies below the guessing band: the right option is avoided, not unknown."""
    return accuracy < guessing_band(n, chance, level).low
