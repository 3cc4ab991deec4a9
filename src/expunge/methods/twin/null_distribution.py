"""How unlikely a model that never met the subject would find a true answer: the NLL of other people's answers.

It depends on who else gives the answer. Such a model finds likely what many others answer, and unlikely what nobody
else does; so candidate answers are as common among retained records as the true one is (`count`). Taken from all
answers of the type (`type`), they make every fact as likely as the next one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from expunge.corpus import Record
from expunge.corpus.answer_types import answer_type
from expunge.corpus.relabel import WrongAnswers
from expunge.corpus.surrogate_answers import OtherAnswers, invent
from expunge.models.likelihoods import Nats
from expunge.random import stream

ANSWERS = 12  # per question; how unlikely an answer is depends on the answer far more than on the subject
MIN_POOL = 4  # as many answers that are nearly as common as the true one are looked for
OTHER_TYPES = 4000  # most answers to other questions that are looked at


@dataclass(frozen=True)
class NullDistribution:
    """NLL of other answers [candidates, answers] to one question, nats per token."""

    nll: Nats

    def draw(self, least: float, rng: np.random.Generator) -> float:
        """One value of at least `least`; without such a value, the median or `least`, whichever is larger."""
        values = self.nll.ravel()
        allowed = values[values >= least]
        return float(rng.choice(allowed)) if len(allowed) else max(least, float(np.median(values)))


class CandidateAnswers:
    """Answers that could be true of a surrogate; `others` are the records that a run may see."""

    def __init__(self, forget: Sequence[Record], others: Sequence[Record], seed: int) -> None:
        self._wrong = WrongAnswers(forget, others, seed)
        self._counts = Counter((answer_type(r), r.answer) for r in others)
        self._answers = frozenset(r.answer for r in others)
        distinct = sorted(self._counts)
        drawn = stream(seed, "elsewhere").permutation(len(distinct))[:OTHER_TYPES]
        self._sample = [distinct[int(k)] for k in drawn]
        self._others = cache(self._of_other_types)

    def _of_other_types(self, kind: str) -> OtherAnswers:
        return OtherAnswers.of(a for other, a in self._sample if other != kind and not self._counts[kind, a])

    def of(self, record: Record, by: Literal["type", "count"], rng: np.random.Generator) -> list[str]:
        """Up to `ANSWERS` answers in the place of the record's own, in an order drawn from `rng`.

        Where nobody else gives the true answer they are new strings of its shape (a telephone number that nobody
        has), which a model that never met the subject would find as new.
        """
        answers = self._as_common(record, rng) if by == "count" else self._of_type(record, rng)
        return [answers[k] for k in rng.permutation(len(answers))[:ANSWERS]]

    def _pool(self, record: Record) -> list[str]:
        return [a for a in self._wrong.of_type(record) if a not in record.options]

    def _of_type(self, record: Record, rng: np.random.Generator) -> list[str]:
        pool = self._pool(record)
        invented = [] if record.answer in self._answers else invent(record.answer, pool, ANSWERS, rng)
        return invented or pool or list(self._wrong.of(record))

    def _as_common(self, record: Record, rng: np.random.Generator) -> list[str]:
        pool, kind = self._pool(record), answer_type(record)
        count = self._counts[kind, record.answer]
        if not count:
            invented = invent(record.answer, pool, ANSWERS, rng, self._others(kind))
            return invented or pool or list(self._wrong.of(record))
        pool = pool or list(self._wrong.of(record))
        distance = [abs(self._counts[kind, a] - count) for a in pool]
        limit = sorted(distance)[min(len(distance), MIN_POOL) - 1]
        return [a for a, d in zip(pool, distance, strict=True) if d <= limit]
