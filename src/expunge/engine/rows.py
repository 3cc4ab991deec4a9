"""What stands in a forget batch: gold answers, wrong answers of the same type, or a twin's answers.

Every row is fixed before step 1 (wrong answers: before their epoch), so a resumed run sees the same rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from torch import Tensor

from expunge.corpus import Record
from expunge.corpus.image_ops import stranger
from expunge.corpus.surrogate_names import (
    Identity,
    identifiers_by_subject,
    make_identities,
    prompt_template_of,
    shape,
    words,
)
from expunge.engine.doubles import Surrogate
from expunge.errors import InputError
from expunge.models.prompt_template import Encoded
from expunge.random import stream

ANCHOR = "~anchor"  # ends the id of a question about somebody who does not exist


@dataclass(frozen=True)
class ForgetExample:
    """One row of a forget batch. `teacher` [a, V] log-probs, what it was `asked`, `floor` (nats): twin rows only.

    token_levels  concept level of every answer token, None where it is the record's; empty where nobody asked
    """

    item: Encoded
    level: str | None
    teacher: Tensor | None = None
    floor: float = 0.0
    is_gold: bool = True
    subject: str = ""
    asked: Encoded | None = None
    token_levels: tuple[str | None, ...] = ()


def answer_type(record: Record) -> str:
    """What makes answers exchangeable: the stated relation, else the same question about somebody else."""
    relation = record.attributes.get("relation")
    if relation:
        return f"{relation}/{record.kind}"
    if record.identifiers:
        return f"{prompt_template_of(record)}/{record.kind}"
    return f"{record.attributes.get('task', '')}/{record.kind}"


def answers_by_type(records: Iterable[Record]) -> Mapping[str, tuple[str, ...]]:
    """answer type → distinct answers, sorted."""
    table: dict[str, set[str]] = {}
    for r in records:
        table.setdefault(answer_type(r), set()).add(r.answer)
    return {kind: tuple(sorted(found)) for kind, found in table.items()}


def wrong_answers(
    record: Record, answers: Mapping[str, tuple[str, ...]], kind_of: Mapping[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """Other answers of the record's type: its own wrong options, answers of the type, answers of the kind."""
    for pool in (record.options, answers.get(answer_type(record), ()), kind_of.get(record.kind, ())):
        wrong = tuple(a for a in pool if a != record.answer)
        if wrong:
            return wrong
    return ()


def anchors(retain: Sequence[Record], forget: Sequence[Record], seed: int) -> list[Record]:
    """The retained questions asked about people who do not exist, one invented person (with pictures) per subject.

    Kept as they are (by the kl term), they confine what is unlearned to the names it was meant for. Every second
    one shares a word with a name that is to be forgotten: without them namesakes are forgotten too. Records
    with neither identifiers nor a picture have no anchor.
    """
    pool = identifiers_by_subject(retain)
    targets = [i for found in identifiers_by_subject(forget).values() for i in found if len(words(i)) > 1]
    found: list[Record] = []
    of_subject: dict[str, list[Record]] = {}
    for r in retain:
        if r.identifiers or r.image:
            of_subject.setdefault(r.subject, []).append(r)
    shown = list({r.image.digest: r.image for r in retain if r.image}.values())
    for number, (subject, records) in enumerate(sorted(of_subject.items())):
        rng = stream(seed, "anchor", subject)
        names: Identity = {}
        if subject in pool:
            names = make_identities(pool[subject], {s: i for s, i in pool.items() if s != subject}, 1, rng)[0]
        if number % 2 == 0:
            names = {old: namesake(new, targets, rng) for old, new in names.items()}
        pictures = {digest: stranger(shown, rng) for digest in sorted({r.image.digest for r in records if r.image})}
        found += [replace(Surrogate(names, pictures).asked(r), id=f"{r.id}{ANCHOR}") for r in records]
    return found


def namesake(identifier: str, targets: Sequence[str], rng: np.random.Generator) -> str:
    """`identifier` with one word of a target of the same shape in its place; unchanged if there is none."""
    alike = [t for t in targets if shape(t) == shape(identifier) and not any(w.isdigit() for w in words(t))]
    if not alike:
        return identifier
    chosen = words(alike[int(rng.integers(len(alike)))])
    place = int(rng.integers(len(chosen)))
    mine = words(identifier)
    new = identifier.replace(mine[place], chosen[place], 1) if mine[place] not in mine[:place] else identifier
    return identifier if new in targets else new


class WrongAnswers:
    """Draws a wrong answer by (seed, record, epoch); the gold answer is never drawn."""

    def __init__(self, forget: Sequence[Record], retain: Sequence[Record], seed: int) -> None:
        kinds: dict[str, set[str]] = {}
        for r in chain(forget, retain):
            kinds.setdefault(r.kind, set()).add(r.answer)
        typed, loose = answers_by_type(chain(forget, retain)), {k: tuple(sorted(v)) for k, v in kinds.items()}
        self._typed = typed
        self._wrong = {r.id: wrong_answers(r, typed, loose) for r in forget}
        self._seed = seed
        for record_id, wrong in self._wrong.items():
            if not wrong:
                raise InputError(
                    f'record "{record_id}"',
                    "the corpus holds no other answer to relabel it with",
                    "choose another method",
                )

    def of(self, record: Record) -> tuple[str, ...]:
        """Every wrong answer that may be drawn for a record."""
        return self._wrong[record.id]

    def of_type(self, record: Record) -> tuple[str, ...]:
        """Every other answer of the record's type, options or not."""
        return tuple(a for a in self._typed.get(answer_type(record), ()) if a != record.answer)

    def draw(self, record: Record, epoch: int) -> Record:
        wrong = self._wrong[record.id]
        return replace(record, answer=wrong[int(stream(self._seed, "relabel", record.id, epoch).integers(len(wrong)))])
