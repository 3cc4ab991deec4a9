"""Verbatim memory by degrees, for answers that are too long for all or nothing."""

from __future__ import annotations

import numpy as np

from expunge.audit.metrics.base import Records, metric, per_record
from expunge.audit.scores import Scores, Values
from expunge.audit.text_normalization import tokens

LONG = 20  # answers of more tokens are judged by degrees too


def longest_true_run(hits: Values) -> int:
    """Length of the longest run of true values. 0111011 gives 3."""
    padded = np.concatenate([[False], np.asarray(hits, dtype=bool), [False]])
    borders = np.flatnonzero(padded[1:] != padded[:-1])
    return int((borders[1::2] - borders[::2]).max(initial=0))


def longest_common_run(reference: list[str], output: list[str]) -> int:
    """Length of the longest run of words that both hold, one after the other."""
    best, row = 0, [0] * (len(output) + 1)
    for word in reference:
        previous = 0
        for k, other in enumerate(output, 1):
            previous, row[k] = row[k], previous + 1 if word == other else 0
            best = max(best, row[k])
    return best


@metric("verbatim_run")
def verbatim_run(scores: Scores, records: Records) -> Values:
    """Longest run of consecutive right tokens over answer length, each token after the true ones before it.

    1 is the whole answer; a passage of 50 tokens that is known but for its last one gives .98.
    """
    return per_record(longest_true_run(hits) / len(hits) for hits in scores.rows(scores.hit))


@metric("verbatim_text", floor="controls")
def verbatim_text(scores: Scores, records: Records) -> Values:
    """Longest run of words that output and answer share, over the words of the answer.

    Over Unicode tokens; needs generated text.
    """
    if scores.text is None:
        return np.full(len(scores), np.nan)
    pairs = [(tokens(r.answer), tokens(text)) for r, text in zip(records, scores.text, strict=True)]
    return per_record(longest_common_run(a, b) / len(a) if a else np.nan for a, b in pairs)
