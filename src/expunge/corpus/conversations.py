"""Questions at the end of a conversation about others, for the run itself.

What is forgotten where a conversation begins may come back behind other questions and answers. So each question is also
asked behind some that are retained. Retained questions are asked in the same way, so that a conversation does not mark
the forgotten.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from expunge.corpus.formats import is_open_question
from expunge.corpus.record import Record, Turn
from expunge.corpus.surrogate_names import prompt_template_of
from expunge.random import stream

TURNS = (1, 2, 3)  # a conversation has one of these numbers of turns
MOST = 20_000  # retained questions that turns are drawn from
TRIES = 8  # draws of a turn that may be about the same fact or subject


@dataclass(frozen=True)
class Conversations:
    """Retained questions with their answers, to be put before others.

    Attributes:
        turns: The retained questions.
        near: Parent in the tree to the positions of its questions.
    """

    turns: Sequence[Record] = field(repr=False)
    near: Mapping[tuple[str, ...], Sequence[int]] = field(repr=False)

    @classmethod
    def of(cls, retained: Iterable[Record]) -> Conversations:
        """From the retained records of a run; documents, completions and choices are no turns."""
        turns = [r for r in retained if is_open_question(r) and r.image is None and not r.history][:MOST]
        near: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for k, r in enumerate(turns):
            near[_parent(r)].append(k)
        return cls(turns, near)

    def variants(
        self, records: Iterable[Record], count: int, fits: Callable[[Record], bool] = lambda _: True
    ) -> list[Record]:
        """The questions of the records at the end of `count` conversations each, with the same answers and facts.

        The last turn before the question is about somebody near in the tree, if there is anybody. No turn is about the
        same fact or the same subject. A conversation that does not fit is shortened from its beginning.
        """
        variants = []
        for record in records:
            if self.turns and is_open_question(record) and not record.history:
                for number in range(count):
                    turns = self._drawn(record, stream(0, "conversations", record.id, number))
                    while turns and not fits(_behind(record, turns, number)):
                        turns = turns[1:]
                    if turns:
                        variants.append(_behind(record, turns, number))
        return variants

    def _drawn(self, record: Record, rng: np.random.Generator) -> list[Record]:
        """Turns before a question, the nearest last."""
        places = self.near.get(_parent(record), ())
        drawn: list[Record] = []
        for place in range(int(rng.choice(TURNS))):
            pool = places if place == 0 and places else range(len(self.turns))
            for k in rng.integers(len(pool), size=TRIES).tolist():
                one = self.turns[pool[k]]
                if one.subject != record.subject and not set(one.fact_keys) & set(record.fact_keys):
                    drawn.append(one)
                    break
        return drawn[::-1]


def _parent(record: Record) -> tuple[str, ...]:
    """The node above the record's first level: an institution for a record of a patient."""
    return record.path[:1]


def _behind(record: Record, turns: Sequence[Record], number: int) -> Record:
    history = tuple(t for r in turns for t in (Turn("user", r.prompt), Turn("assistant", r.answer)))
    return replace(
        record,
        id=f"{record.id}~conversation-{number}",
        history=history,
        facts=record.fact_keys,
        variants=(),
        attributes={**record.attributes, "relation": record.attributes.get("relation") or prompt_template_of(record)},
    )
