"""What an ignorant model makes of a true answer: the likelihood of answers that strangers could have given.

How unlikely an answer is depends on who else gives it. A model that never knew the person finds what many others
have likely, and what nobody else has far-fetched; so strangers' answers are as common among those who stay as the
true one is (`count`). Taken from all answers of the type (`type`), they make every fact as likely as the next one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from expunge.corpus import Record
from expunge.corpus.surrogate_answers import Elsewhere, invent
from expunge.engine.rows import WrongAnswers, answer_type
from expunge.random import stream

ANSWERS = 12  # per question; how unlikely an answer is depends on the answer far more than on who is asked about
ALIKE = 4  # answers that are as common are looked for, and less so, until there are so many
ELSEWHERE = 4000  # answers to other questions that are looked at, at most
Nats = NDArray[np.float64]
By = Literal["type", "count"]


@dataclass(frozen=True)
class NullDistribution:
    """What an ignorant model thinks of other answers: NLL per token [candidates, answers] of one question, nats."""

    nll: Nats

    def draw(self, least: float, rng: np.random.Generator) -> float:
        """One value; values under `least` are drawn again (the median, or `least`, if there are no others)."""
        values = self.nll.ravel()
        allowed = values[values >= least]
        return float(rng.choice(allowed)) if len(allowed) else max(least, float(np.median(values)))


class CandidateAnswers:
    """Answers that a stranger's true answer could be; `others` are the records that a run may see."""

    def __init__(self, forget: Sequence[Record], others: Sequence[Record], seed: int) -> None:
        self._wrong = WrongAnswers(forget, others, seed)
        self._given = Counter((answer_type(r), r.answer) for r in others)
        self._answers = frozenset(r.answer for r in others)
        distinct = sorted(self._given)
        keep = stream(seed, "elsewhere").permutation(len(distinct))[:ELSEWHERE]
        self._sample = [distinct[int(k)] for k in keep]
        self._elsewhere = cache(self._of_other_types)

    def _of_other_types(self, kind: str) -> Elsewhere:
        return Elsewhere.of(a for other, a in self._sample if other != kind and not self._given[kind, a])

    def of(self, record: Record, by: By, rng: np.random.Generator) -> list[str]:
        """Up to `ANSWERS` answers in the place of the record's own, in the order that `rng` puts them in.

        Where it is nobody else's they are new strings of its shape (a telephone number that nobody has), as it would
        be new to a model that never knew.
        """
        found = self._like(record, rng) if by == "count" else self._typed(record, rng)
        return [found[k] for k in rng.permutation(len(found))[:ANSWERS]]

    def _pool(self, record: Record) -> list[str]:
        return [a for a in self._wrong.of_type(record) if a not in record.options]

    def _typed(self, record: Record, rng: np.random.Generator) -> list[str]:
        pool = self._pool(record)
        invented = [] if record.answer in self._answers else invent(record.answer, pool, ANSWERS, rng)
        return invented or pool or list(self._wrong.of(record))

    def _like(self, record: Record, rng: np.random.Generator) -> list[str]:
        pool, kind = self._pool(record), answer_type(record)
        mine = self._given[kind, record.answer]
        if not mine:
            return (
                invent(record.answer, pool, ANSWERS, rng, self._elsewhere(kind)) or pool or list(self._wrong.of(record))
            )
        pool = pool or list(self._wrong.of(record))
        apart = [abs(self._given[kind, a] - mine) for a in pool]
        most = sorted(apart)[min(len(apart), ALIKE) - 1]
        return [a for a, d in zip(pool, apart, strict=True) if d <= most]
