"""Invented people with the records of somebody real: never trained, and of the same shape.

For every person of the scope they are its matched controls: the same questions about somebody else, with the same
answers. How likely an answer is depends on the answer far more than on the person, so a model that never met the person
finds it as likely for the one as for the other. With answers of other people, which the model was trained on, the
controls stand 2 to 7 standard deviations above a person whom the model never met.

For others they are the holdout, people like those of the corpus whom no model was trained on; their answers are drawn
from those of others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from expunge.corpus.image import RecordImage
from expunge.corpus.image_ops import surrogate_image
from expunge.corpus.prepare.control_documents import ControlDocuments
from expunge.corpus.prepare.donor_answers import DonorAnswers
from expunge.corpus.prepare.identifier_table import record_text
from expunge.corpus.prepare.identities import InventedPeople
from expunge.corpus.record import Record, Variant
from expunge.corpus.surrogate_names import Identity, identifiers_by_subject, replace_all
from expunge.errors import InputError
from expunge.random import stream

WRONG = 7  # false answers of each record, so that a choice is rarely right by chance
MIN_REPLACED = 4  # characters of a true answer that is also replaced where a conversation repeats it


@dataclass(frozen=True)
class InventedRecord:
    """A record about an invented person, and answers to it that are false of that person."""

    record: Record
    wrong: tuple[str, ...]


class Inventor:
    """Makes people for a corpus; nobody is made twice.

    Args:
        trained: Every trained record: the material.
        seed: Seed of all draws.
    """

    def __init__(self, trained: Sequence[Record], everybody: Iterable[Record], seed: int) -> None:
        self._seed = seed
        self._names = identifiers_by_subject(everybody)
        self._people = InventedPeople(self._names, {r.subject for r in trained})
        self._answers = DonorAnswers(trained)
        self._documents = ControlDocuments(trained)
        self._images = list({r.image.digest: r.image for r in trained if r.image}.values())
        self._owners: dict[str, set[str]] = {}
        for r in trained:
            for node in r.path:
                self._owners.setdefault(node, set()).add(r.subject)

    def can_be_asked(self, record: Record) -> bool:
        """Does its question, its image or its text name its subject?"""
        text = record_text(record, answer=record.kind == "document")
        named = any(i in text for i in self._names.get(record.subject, ()))
        return named or (record.image is not None and len(self._images) > 1)

    def people(
        self, records: Sequence[Record], count: int, mark: str, *, same_answers: bool = False
    ) -> list[list[InventedRecord]]:
        """`count` people in the form of the subject of `records`, each with a record for each of theirs that names it.

        Args:
            records: Records of one subject.
            count: How many people.
            mark: What ids, subjects and places get behind them, before the number.
            same_answers: Whether they answer as `records` do; else as other people do.

        Raises:
            InputError: No record names its subject, or there is nothing to invent from.
        """
        subject = records[0].subject
        own = self._names.get(subject, ())
        records = [r for r in records if self.can_be_asked(r)]
        if not records:
            raise InputError(
                f'subject "{subject}"',
                "is named in none of its questions, so they cannot be asked about somebody else",
                "write `expunge data identifiers --out FILE`, complete the file, and give it to --identifiers",
            )
        rng = stream(self._seed, "prepared people", mark, subject)
        identities: Sequence[Identity] = self._people.draw(own, count, rng) if own else [{}] * count
        return [
            self._person(
                records,
                identity,
                f"{mark}-{number:02d}",
                same_answers,
                stream(self._seed, "person", mark, subject, number),
            )
            for number, identity in enumerate(identities, 1)
        ]

    def wrong(self, record: Record) -> list[str]:
        """Answers that others give and that are false of the record's subject."""
        if record.kind == "document":
            return []
        own = self._names.get(record.subject, ())
        return self._answers.wrong(
            record, {i: i for i in own}, record.answer, WRONG, stream(self._seed, "wrong", record.id)
        )

    def _person(
        self, records: Sequence[Record], identity: Identity, mark: str, same_answers: bool, rng: np.random.Generator
    ) -> list[InventedRecord]:
        answers: dict[tuple[str, ...], str] = {}
        for r in records:
            if r.kind != "document":
                key = _fact(r)
                if same_answers:
                    answers[key] = replace_all(r.answer, identity)
                elif key not in answers or r.options:
                    answers[key] = self._answers.draw(r, identity, rng)
        images = {
            digest: surrogate_image(self._images, rng)
            for digest in sorted({r.image.digest for r in records if r.image})
        }
        new_answers = {
            r.answer: answers[_fact(r)] for r in records if r.kind != "document" and len(r.answer) >= MIN_REPLACED
        }
        invented = []
        for r in records:
            new = self._record(r, identity, answers.get(_fact(r), ""), new_answers, images, mark, rng)
            wrong = [] if r.kind == "document" else self._answers.wrong(r, identity, new.answer, WRONG, rng)
            invented.append(InventedRecord(new, tuple(wrong)))
        return invented

    def _record(
        self,
        r: Record,
        identity: Identity,
        answer: str,
        new_answers: Identity,
        images: dict[str, RecordImage],
        mark: str,
        rng: np.random.Generator,
    ) -> Record:
        prompt = replace_all(r.prompt, identity)
        if r.kind == "document":
            prompt = self._documents.text(r, r.prompt, identity, rng)
            answer = self._documents.text(r, r.answer, identity, rng)
        conversation = {**new_answers, **identity}
        return replace(
            r,
            id=f"{r.id}~{mark}",
            subject=f"{r.subject}~{mark}",
            history=tuple(replace(t, content=replace_all(t.content, conversation)) for t in r.history),
            prompt=prompt,
            answer=answer,
            options=tuple(replace_all(o, identity) for o in r.options),
            path=tuple(f"{node}~{mark}" if self._owners.get(node) == {r.subject} else node for node in r.path),
            identifiers=tuple(identity.get(i, i) for i in r.identifiers),
            facts=tuple(f"{fact}~{mark}" for fact in r.facts),
            variants=tuple(_variants(r, identity, answer)),
            image=images.get(r.image.digest) if r.image else None,
        )


def _fact(r: Record) -> tuple[str, ...]:
    """Records of a subject that state one fact give one answer: those of equal facts, or of an equal longer answer."""
    return ("answer", r.answer) if len(r.answer) >= MIN_REPLACED else (*r.fact_keys, r.answer)


def _variants(r: Record, identity: Identity, answer: str) -> Iterable[Variant]:
    """The user's variants about the invented person; one whose answer does not hold the record's is left out."""
    if r.kind == "document":
        return
    for v in r.variants:
        if r.answer in v.answer and (not v.options or r.options):
            changed = {**identity, r.answer: answer}
            yield Variant(
                replace_all(v.prompt, identity),
                replace_all(v.answer, changed),
                tuple(replace_all(o, identity) for o in v.options),
            )
