"""Published one-number scores, for comparison with tables elsewhere; never part of the verdict.

Several numbers are called forgetting rate; each has its own name here. Nothing is clipped: a value above 1 or below 0
is over-forgetting and stays visible. NaN = undefined.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from expunge.audit.statistics import Values, ks_distance

MIN_GAP = 0.05
UTILITY_MEASURES = ("probability", "rouge_l_recall", "truth_ratio")
UTILITY_SETS = ("retain", "real_authors", "world_facts")


def fr_abs(after: float) -> float:
    """Forgetting rate 1 - accuracy after (arXiv 2511.19498); guessing among four options already gives .75."""
    return 1 - after


def fr_rel(before: float, after: float) -> float:
    """Forgetting rate (before - after)/before, at most 1; NaN if nothing was known."""
    return (before - after) / before if before > 0 else np.nan


def fr_chance(before: float, after: float, chance: float) -> float:
    """Forgetting rate (before - after)/(before - chance): 1 = at chance; NaN if before <= chance."""
    return (before - after) / (before - chance) if before > chance else np.nan


def fr_ref(before: float, after: float, retrained: float) -> float:
    """Forgetting rate (before - after)/(before - retrained): 1 = like retrained; NaN if that gap is below .05."""
    return (before - after) / (before - retrained) if abs(before - retrained) >= MIN_GAP else np.nan


def kpr_abs(after: float) -> float:
    """Knowledge preservation rate: accuracy after on retain records (arXiv 2511.19498)."""
    return after


def kpr_rel(before: float, after: float) -> float:
    """Knowledge preservation rate: accuracy after over before; NaN if nothing was known."""
    return after / before if before > 0 else np.nan


def us(forgetting_rate: float, preservation_rate: float) -> float:
    """Unlearning score: the mean of both rates (arXiv 2511.19498); a mean hides a zero."""
    return (forgetting_rate + preservation_rate) / 2


def privacy_risk(auc: float) -> float:
    """2 |AUC - .5|: 0 = members cannot be told apart; a destroyed model reaches it too."""
    return 2 * abs(auc - 0.5)


def mia_resistance(auc: float) -> float:
    """1 - 2 |AUC - .5|."""
    return 1 - privacy_risk(auc)


def mia_resistance_to(auc: float, retrained_auc: float) -> float:
    """1 - 2 |AUC - AUC of the retrained model|, in [-1, 1]; a destroyed model does not reach 1."""
    return 1 - 2 * abs(auc - retrained_auc)


def chance_level(answers: Sequence[Hashable], options: int = 4, permuted: bool = True) -> float:
    """Accuracy without knowledge: 1/options if options were permuted, else the share of the most frequent answer.

    `answers` holds the place (or letter) of the right option of every question; `ValueError` for none.
    """
    if not answers:
        raise ValueError("no answers, so no chance level")
    return 1 / options if permuted else Counter(answers).most_common(1)[0][1] / len(answers)


class Band(NamedTuple):
    """Accuracies that guessing gives with the stated probability, ends included."""

    low: float
    high: float


def guessing_band(n: int, chance: float = 0.25, level: float = 0.95) -> Band:
    """Central `level` of the accuracy of pure guessing on n questions: binomial quantiles over n."""
    from scipy.stats import binom

    tail = (1 - level) / 2
    return Band(*(float(q) / n for q in binom.ppf([tail, 1 - tail], n, chance)))


def is_over_forgotten(accuracy: float, n: int, chance: float = 0.25, level: float = 0.95) -> bool:
    """True if the accuracy on n questions lies below the guessing band: the model avoids the right option."""
    return accuracy < guessing_band(n, chance, level).low


class ForgetQuality(NamedTuple):
    """Two-sample Kolmogorov-Smirnov test of truth ratios. Small samples cannot reject: read D and n too."""

    distance: float
    p: float
    n_unlearned: int
    n_retrained: int


def tofu_forget_quality(unlearned: Values, retrained: Values) -> ForgetQuality:
    """TOFU's forget quality (arXiv 2401.06121) from truth ratios per record, geometric form, without NaN."""
    from scipy.stats import ks_2samp

    u, r = (np.asarray(x)[~np.isnan(x)] for x in (unlearned, retrained))
    return ForgetQuality(ks_distance(u, r), float(ks_2samp(u, r).pvalue), len(u), len(r))


class PrivLeak(NamedTuple):
    """MUSE's PrivLeak (0 best, below 0 under-, above 0 over-unlearned) and the plain difference of AUCs."""

    value: float
    difference: float
    withheld: bool

    @property
    def reported(self) -> float | None:
        """The value, or None where its denominator is too small."""
        return None if self.withheld else self.value


def muse_privleak(auc_unlearned: float, auc_retrained: float) -> PrivLeak:
    """100 (A_u - A_r)/A_r with A = 1 - AUC, forget records as members, Min-K scores (MUSE, arXiv 2407.06460).

    Withheld where A_r < .05, where the quotient diverges.
    """
    u, r = 1 - auc_unlearned, 1 - auc_retrained
    value = 100 * (u - r) / r if r else np.nan
    return PrivLeak(value, auc_unlearned - auc_retrained, r < MIN_GAP)


def harmonic_mean(values: Iterable[float]) -> float:
    """n / sum(1/v); 0 as soon as one value is 0. `ValueError` for none, a negative one or NaN."""
    numbers = list(values)
    if not numbers or not all(v >= 0 for v in numbers):
        raise ValueError(f"a harmonic mean needs values of at least 0, got {numbers}")
    return 0.0 if min(numbers) == 0 else len(numbers) / sum(1 / v for v in numbers)


def model_utility(terms: Mapping[tuple[str, str], float]) -> float:
    """TOFU's model utility: harmonic mean of nine (measure, set) terms; `ValueError` for missing or further ones."""
    wanted = {(measure, name) for measure in UTILITY_MEASURES for name in UTILITY_SETS}
    if set(terms) != wanted:
        missing, foreign = sorted(wanted - set(terms)), sorted(set(terms) - wanted)
        raise ValueError(f"model utility needs exactly nine terms; missing {missing}, foreign {foreign}")
    return harmonic_mean(terms.values())


def option_probability(truth: float, wrong: Iterable[float]) -> float:
    """p/(p + sum of the wrong options' p), in [0, 1]: the probability term of model utility."""
    total = truth + sum(wrong)
    return truth / total if total > 0 else 0.0
