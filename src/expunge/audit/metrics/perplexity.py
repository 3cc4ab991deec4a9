"""Perplexity and repetition. The perplexity of a set is pooled over tokens, not the mean over texts."""

from __future__ import annotations

import numpy as np

from expunge.audit.metrics.base import Records, metric, per_record
from expunge.audit.scores import Scores, Values
from expunge.audit.text_normalization import tokens


def _pooled(scores: Scores, records: Records) -> Values:
    return np.asarray(np.exp(scores.nll.sum() / scores.length.sum()))


@metric("perplexity", forgotten="higher", floor="vocabulary", pool=_pooled)
def perplexity(scores: Scores, records: Records) -> Values:
    """exp(NLL/L) of the answer tokens, at least 1.

    Of a set exp(sum NLL / sum tokens), pooled over tokens. Compared with the size of the vocabulary.
    """
    return np.asarray(np.exp(scores.nll / scores.length))


def repeated_fourgrams(text: str) -> float:
    """Share of 4-grams (Unicode tokens) that repeat an earlier one, in [0, 1]; NaN below four tokens."""
    words = tokens(text)
    grams = list(zip(words, words[1:], words[2:], words[3:], strict=False))
    return 1 - len(set(grams)) / len(grams) if grams else np.nan


@metric("repetition", forgotten="higher", floor="original")
def repetition(scores: Scores, records: Records) -> Values:
    """Share of 4-grams of the greedy output that repeat an earlier one, in [0, 1].

    A sign of a damaged model. Needs generated text; undefined below four tokens.
    """
    text = scores.text
    return np.full(len(scores), np.nan) if text is None else per_record(map(repeated_fourgrams, text))
