"""Wrong answers for records, drawn by (seed, record, epoch)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

from expunge.corpus.answer_types import answer_type, answers_by_type, wrong_answers
from expunge.corpus.record import Record
from expunge.errors import InputError
from expunge.random import stream


class WrongAnswers:
    """Wrong answers of the same type for the records of `forget`; the true answer is never among them.

    Raises:
        InputError: a record of `forget` has no wrong answer in either set.
    """

    def __init__(self, forget: Sequence[Record], retain: Sequence[Record], seed: int) -> None:
        kinds: dict[str, set[str]] = {}
        for r in chain(forget, retain):
            kinds.setdefault(r.kind, set()).add(r.answer)
        self._by_type = answers_by_type(chain(forget, retain))
        self._by_kind = {kind: tuple(sorted(answers)) for kind, answers in kinds.items()}
        self._seed = seed
        for record in forget:
            if not self.of(record):
                raise InputError(
                    f'record "{record.id}"',
                    "the corpus holds no other answer to relabel it with",
                    "choose another method",
                )

    def of(self, record: Record) -> tuple[str, ...]:
        """Every wrong answer that may be drawn for a record."""
        return wrong_answers(record, self._by_type, self._by_kind)

    def of_type(self, record: Record) -> tuple[str, ...]:
        """Every other answer of the record's type, whether it is an option of the record or not."""
        return tuple(a for a in self._by_type.get(answer_type(record), ()) if a != record.answer)

    def draw(self, record: Record, epoch: int) -> Record:
        """The record with one of its wrong answers."""
        wrong = self.of(record)
        rng = stream(self._seed, "relabel", record.stream_key, epoch)
        return replace(record, answer=wrong[int(rng.integers(len(wrong)))])
