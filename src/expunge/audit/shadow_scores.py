"""Membership by shadow models: the likelihood ratio of a record in models that had it and in models that did not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from expunge.audit.membership_scores import by_subject
from expunge.audit.scores import Values
from expunge.random import stream

LEAST_SPREAD = 0.1  # of the scaled confidence, below which a spread of a few shadows is chance


def scaled_confidence(logp: Values) -> Values:
    """ln(p / (1 - p)) of mean log-probabilities of a token [N], in nats; p at most 1 - 1e-6."""
    p = np.clip(np.exp(logp), 1e-12, 1 - 1e-6)
    return np.asarray(np.log(p) - np.log1p(-p))


def balanced_halves(people: Sequence[str], models: int, seed: int) -> Values:
    """Which people each shadow is trained on, [models, people] 0 or 1; models in pairs, so each person is in half."""
    if models % 2:
        raise ValueError("shadow models come in pairs")
    rows = []
    for pair in range(models // 2):
        order = stream(seed, "shadow half", pair).permutation(len(people))
        first = np.zeros(len(people))
        first[order[: -(-len(people) // 2)]] = 1
        rows += [first, 1 - first]
    return np.array(rows)


def likelihood_ratio(score: Values, inside: Values, outside: Values) -> Values:
    """ln N(score; in) - ln N(score; out) by record, [N]; spreads are shared by all records.

    A score of 2 where shadows with the record have mean 2 and those without it mean 0, both with spread .5, gives 8.

    Args:
        score: Of the audited model, [N].
        inside: Of shadows, [models, N], NaN where the shadow did not have the record.
        outside: The same of shadows without the record.
    """
    logs = []
    for values in (inside, outside):
        middle = np.nanmean(values, axis=0)
        spread = max(float(np.sqrt(np.nanmean((values - middle) ** 2))), LEAST_SPREAD)
        logs.append(-((score - middle) ** 2) / (2 * spread**2) - np.log(spread))
    return np.asarray(logs[0] - logs[1])


def members(
    ratio: Values, subjects: Sequence[str], others: Values, other_subjects: Sequence[str], percentile: float
) -> Mapping[str, bool]:
    """Whether each subject's mean ratio lies above this percentile of the means of people whom no model met."""
    limit = float(np.percentile(list(by_subject(others, other_subjects).values()), percentile))
    return {name: value > limit for name, value in by_subject(ratio, subjects).items()}
