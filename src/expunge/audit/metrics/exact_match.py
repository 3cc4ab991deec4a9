"""Exact match of the output and the answer.

Without generated text the tokens decide, and then the end token counts: a model that does not stop has not given the
answer.
"""

from __future__ import annotations

import numpy as np

from expunge.audit.metrics.base import Records, metric, per_record
from expunge.audit.scores import Scores, Values
from expunge.audit.text_normalization import normalize


def matches(scores: Scores, records: Records) -> Values:
    """1 if the output equals the answer, both normalized, else 0, [N]; without text the tokens decide."""
    if scores.text is not None:
        pairs = zip(scores.text, records, strict=True)
        return per_record(normalize(output) == normalize(r.answer) for output, r in pairs)
    stopped = scores.eos_hit | np.isnan(scores.eos_logp)
    return np.asarray((scores.sum(~scores.hit) == 0) & stopped, dtype=np.float64)


@metric("exact_match")
def exact_match(scores: Scores, records: Records) -> Values:
    """1 if the greedy output equals the answer, else 0.

    Both are normalized (NFKC, casefold, stripped). Without generated text every answer token and the end token must be
    the most probable one, which greedy decoding would give.
    """
    return matches(scores, records)


@metric("cloze_acc", kinds=frozenset({"cloze"}))
def cloze_acc(scores: Scores, records: Records) -> Values:
    """1 if the fill of a blank equals the answer, else 0.

    Exact match of cloze records; no stemming and no partial credit.
    """
    return matches(scores, records)
