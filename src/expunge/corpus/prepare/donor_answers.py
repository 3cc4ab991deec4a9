"""Answers for people who do not exist, from what other people answer to the same question.

Where others give the true answer too, an invented person's answer is drawn from theirs as often as they give it, the
true one among them: it is right by chance, as a guess would be. Where nobody else gives it, the answer is one that is
as rare: with numbers (a telephone number) a new one of the same form, in words one that few others give.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from expunge.corpus.answer_types import answer_type
from expunge.corpus.record import Record
from expunge.corpus.surrogate_answers import new_part
from expunge.corpus.surrogate_names import (
    WORD,
    Identity,
    coarse_shape,
    identifiers_by_subject,
    replace_all,
    shape,
    words,
)
from expunge.errors import InputError

SLOT = 0xE000  # private-use characters stand for identifiers of a subject; they are no letters
INVENTED = 24  # new answers to choose from
MIN_POOL = 4  # as many of the rarest answers are looked for


@dataclass(frozen=True)
class _Donor:
    subject: str
    masked: str  # the answer with slots for its subject's identifiers


class DonorAnswers:
    """Answers of the records of `others`, by question; the identifiers in them become those of whom they are given to.

    Args:
        records: Every trained record; those of the subject that asks never answer it.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        rows = [r for r in records if r.kind != "document"]
        self._identifiers = identifiers_by_subject(rows)
        self._others = cache(self._answers_of_others)
        self._by_type: dict[str, list[_Donor]] = {}
        self._by_kind: dict[str, list[_Donor]] = {}
        for r in rows:
            donor = _Donor(r.subject, _mask(r.answer, self._identifiers.get(r.subject, ())))
            self._by_type.setdefault(answer_type(r), []).append(donor)
            self._by_kind.setdefault(r.kind, []).append(donor)

    def draw(self, record: Record, identity: Identity, rng: np.random.Generator) -> str:
        """An answer to the record's question for the person `identity`.

        Raises:
            InputError: Nobody else answers anything like it.
        """
        if record.options:
            return replace_all(record.options[int(rng.integers(len(record.options)))], identity)
        own, pool = self._pool(record)
        if own not in pool:
            pool = self._new(own, pool, rng) or self._alike(record, own)
        if not pool:
            raise InputError(
                f'record "{record.id}"',
                "no other record answers such a question, so no control can answer it",
                "give records of other people with the same questions",
            )
        return _fill(pool[int(rng.integers(len(pool)))], self._slots(record.subject), identity)

    def wrong(self, r: Record, identity: Identity, right: str, count: int, rng: np.random.Generator) -> list[str]:
        """Up to `count` different answers for the person `identity`, none of them `right`; others' answers first."""
        own, pool = self._pool(r)
        distinct = sorted(set(pool))
        ordered = [distinct[int(k)] for k in rng.permutation(len(distinct))]
        if len(ordered) <= count:
            ordered += self._new(own, pool, rng)
        if len(ordered) <= count:
            ordered += self._alike(r, own)
        filled = dict.fromkeys(_fill(a, self._slots(r.subject), identity) for a in ordered)
        return [a for a in filled if a.casefold() != right.casefold()][:count]

    def _slots(self, subject: str) -> tuple[str, ...]:
        return self._identifiers.get(subject, ())

    def _pool(self, record: Record) -> tuple[str, list[str]]:
        """The record's own answer and those of others, each with slots that the subject can fill."""
        slots = self._slots(record.subject)
        return _mask(record.answer, slots), self._others(answer_type(record), record.subject)

    def _answers_of_others(self, kind: str, subject: str) -> list[str]:
        slots = self._slots(subject)
        return [
            fitted
            for donor in self._by_type.get(kind, ())
            if donor.subject != subject
            and (fitted := _fit(donor.masked, self._slots(donor.subject), slots)) is not None
        ]

    def _new(self, own: str, pool: Sequence[str], rng: np.random.Generator) -> list[str]:
        """Others' answers as answers that nobody gives: with other numbers; as they are where they have none.

        Of the same form as the record's own if there are some, and the rarest of them.
        """
        same = [a for a in pool if coarse_shape(a) == coarse_shape(own)] or list(pool)
        counts = Counter(same)
        limit = sorted(counts.values())[min(len(counts), MIN_POOL) - 1] if counts else 0
        bases = sorted(a for a, count in counts.items() if count <= limit and a != own)
        if not any(c.isdigit() for a in bases for c in a):
            return bases
        rows: dict[str, list[list[str]]] = {}
        for a in same:
            rows.setdefault(coarse_shape(a), []).append(words(a))
        taken, new = {own, *pool}, dict[str, None]()
        for _ in range(10 * INVENTED):
            answer = _renumber(base := bases[int(rng.integers(len(bases)))], rows[coarse_shape(base)], rng)
            if answer not in taken:
                new[answer] = None
            if len(new) == INVENTED:
                break
        return list(new) or bases

    def _alike(self, record: Record, own: str) -> list[str]:
        """Answers to other questions: of the same form if there are some, else any; all without names."""
        others = sorted(
            {
                d.masked
                for d in self._by_kind.get(record.kind, ())
                if d.subject != record.subject and d.masked != own and not _SLOTS.search(d.masked)
            }
        )
        return [a for a in others if coarse_shape(a) == coarse_shape(own)] or others


_SLOTS = re.compile(f"[{chr(SLOT)}-{chr(SLOT + 255)}]")


def _renumber(answer: str, rows: Sequence[Sequence[str]], rng: np.random.Generator) -> str:
    """The answer with other numbers, each made of those that answers of its form ([words] each) have in its place."""
    own = words(answer)
    parts = [new_part([row[k] for row in rows], rng) if word.isdigit() else word for k, word in enumerate(own)]
    fresh = iter(parts)
    return WORD.sub(lambda _: next(fresh), answer)


def _mask(answer: str, identifiers: Sequence[str]) -> str:
    return replace_all(answer, {i: chr(SLOT + k) for k, i in enumerate(identifiers[:256])})


def _fit(masked: str, theirs: Sequence[str], ours: Sequence[str]) -> str | None:
    """Slots of one subject as slots of another: identifiers of the same shape, in order; None if one is missing."""
    table: dict[str, str] = {}
    for slot in dict.fromkeys(_SLOTS.findall(masked)):
        same = [k for k, i in enumerate(ours) if shape(i) == shape(theirs[ord(slot) - SLOT])]
        if not same:
            return None
        table[slot] = chr(SLOT + same[0])
    return replace_all(masked, table)


def _fill(masked: str, slots: Sequence[str], identity: Identity) -> str:
    """The identifiers of `identity` in the place of slots."""
    table: Mapping[str, str] = {chr(SLOT + k): identity.get(i, i) for k, i in enumerate(slots[:256])}
    return replace_all(masked, table)
