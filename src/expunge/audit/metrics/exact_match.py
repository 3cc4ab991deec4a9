"""Does the model give the answer, letter for letter?

Surprising: without generated text the tokens decide, and then the end token counts: a model that never stops
did not give the answer.
"""

from __future__ import annotations

import numpy as np

from expunge.audit.metrics.base import Records, metric, per_record
from expunge.audit.scores import Scores, Values
from expunge.audit.text_normalization import normalize


def matches(scores: Scores, records: Records) -> Values:
    """1 if the output equals the answer, both normalized, else 0, [N]; without text the tokens decide."""
    if scores.text is not None:
        return per_record(normalize(said) == normalize(r.answer) for said, r in zip(scores.text, records, strict=True))
    stopped = scores.eos_hit | np.isnan(scores.eos_logp)
    return np.asarray((scores.sum(~scores.hit) == 0) & stopped, dtype=np.float64)


@metric("exact_match", interval="clopper_pearson")
def exact_match(scores: Scores, records: Records) -> Values:
    """1 if the output equals the answer (NFKC, casefold, stripped), else 0."""
    return matches(scores, records)
