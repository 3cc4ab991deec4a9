"""Truth ratio (TOFU, arXiv 2401.06121): wrong answers' probability over that of the true one.

Two definitions share the name and do not compare: `arith` averages the wrong answers' probabilities, `geom` their
losses. Both public TOFU code bases compute forget quality with `geom`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from expunge.audit.metrics.answer_prob import probability
from expunge.audit.metrics.base import Records, metric, per_record
from expunge.audit.scores import Scores, Values
from expunge.audit.text_normalization import normalize
from expunge.corpus import Record

Form = Literal["arith", "geom"]
_TINY = 1e-300  # log of a probability that underflowed


def wrong_probability(wrong: Sequence[float], form: Form) -> float:
    """Mean of the wrong answers' length-normalized probabilities, arithmetic or geometric; NaN for none."""
    if not len(wrong):
        return np.nan
    if form == "arith":
        return float(np.mean(wrong))
    return float(np.exp(np.mean(np.log(np.maximum(wrong, _TINY)))))


def truth_ratio(truth: float, wrong: Sequence[float], form: Form = "arith") -> float:
    """p~(wrong)/p~(paraphrase), at least 0: below 1 the model prefers the truth."""
    return wrong_probability(wrong, form) / max(truth, _TINY)


def tr_forget(ratios: ArrayLike) -> float:
    """mean min(TR, 1/TR), in [0, 1]: 1 = no preference either way. NaN values are left out."""
    r = np.maximum(np.asarray(ratios, dtype=np.float64), _TINY)
    return float(np.nanmean(np.minimum(r, 1 / r)))


def tr_utility(ratios: ArrayLike) -> float:
    """mean max(0, 1 - TR), in [0, 1]: 1 = firmly true. NaN values are left out."""
    return float(np.nanmean(np.maximum(0, 1 - np.asarray(ratios, dtype=np.float64))))


def tr_prob(truth: float, wrong: float) -> float:
    """p~/(p~ + p~_wrong), in [0, 1]: .5 = no preference."""
    return truth / (truth + wrong) if truth + wrong > 0 else 0.5


def _pair(record: Record, own: float, logprob: tuple[float, ...], size: tuple[int, ...]) -> tuple[float, list[float]]:
    """(p~ of the truth, p~ of the wrong options); a truth that is no option has the answer's probability."""
    answer = normalize(record.answer)
    each = [
        (normalize(option), float(np.exp(value / max(count, 1))))
        for option, value, count in zip(record.options, logprob, size, strict=True)
    ]
    return next((p for name, p in each if name == answer), own), [p for name, p in each if name != answer]


def _pairs(scores: Scores, records: Records) -> list[tuple[float, list[float]]]:
    if scores.option_logprob is None or scores.option_tokens is None:
        return [(np.nan, [])] * len(scores)
    return list(map(_pair, records, probability(scores), scores.option_logprob, scores.option_tokens))


@metric("truth_ratio_arith", forgotten="higher")
def truth_ratio_arith(scores: Scores, records: Records) -> Values:
    """Mean probability of the wrong options over that of the true one; 1 = no preference.

    Probabilities are normalized for length, exp(mean log p) (TOFU, arXiv 2401.06121, arithmetic form).
    """
    return per_record(truth_ratio(truth, wrong) for truth, wrong in _pairs(scores, records))


@metric("truth_ratio_geom", forgotten="higher")
def truth_ratio_geom(scores: Scores, records: Records) -> Values:
    """Geometric mean probability of the wrong options over that of the true one; 1 = no preference.

    The form by which public code computes TOFU's forget quality (arXiv 2401.06121).
    """
    return per_record(truth_ratio(truth, wrong, "geom") for truth, wrong in _pairs(scores, records))


@metric("tr_prob")
def tr_prob_metric(scores: Scores, records: Records) -> Values:
    """p~(true)/(p~(true) + mean p~(wrong)), in [0, 1]; .5 = no preference.

    p~ is exp(mean log p), the probability normalized for length.
    """
    return per_record(
        tr_prob(truth, wrong_probability(wrong, "arith")) if wrong else np.nan
        for truth, wrong in _pairs(scores, records)
    )
