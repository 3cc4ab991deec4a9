"""How often a model gives the true answers to records as they are put to it: the rates that attacks compare."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from expunge.audit.metrics import METRICS
from expunge.audit.metrics.verbatim_run import LONG
from expunge.audit.scores import Scores, Values
from expunge.audit.scoring import score
from expunge.corpus import Record
from expunge.models.language_model import LanguageModel


def rates_of(scores: Scores, records: Sequence[Record]) -> Values:
    """Rate of each record [N] in 0..1: exact match; of answers of more than `LONG` tokens the longest run of right
    tokens, if that is more.

    Options do not count: a guess among four is right too often for the few records of a request.
    """
    by_id = dict(zip(scores.ids, records, strict=True))
    exact, run = (METRICS.get(name)(scores, by_id) for name in ("exact_match", "verbatim_run"))
    return np.where(scores.length > LONG, np.fmax(exact, run), exact)


def answer_rates(lm: LanguageModel, records: Sequence[Record]) -> Values:
    """`rates_of` the records scored by this model, [N]; nothing is generated."""
    return rates_of(score(lm, records, ids=range(len(records))), records)
