"""Doubles: people whom a model never met, to be asked about in the place of somebody it knows.

A double has names and numbers of its own (`corpus/surrogate_names.py`) and, where records show pictures, pictures of
its
own (`corpus/image_ops.py`). Surprising: a subject that no prompt names can have a double too, by its pictures alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from expunge.corpus import Record, RecordImage
from expunge.corpus.image_ops import stranger
from expunge.corpus.surrogate_names import Identity, identifiers_by_subject, make_identities, replace_all
from expunge.errors import InputError
from expunge.methods.twin import Replacement
from expunge.random import stream


@dataclass(frozen=True)
class Surrogate:
    """Other names, and by the digest of each picture another one."""

    names: Identity = field(default_factory=dict)
    pictures: Mapping[str, RecordImage] = field(default_factory=dict)

    def asked(self, record: Record, answer: str | None = None) -> Record:
        """The record's question about the double, with its own or another answer (also where that is an option)."""
        names = {**self.names, record.answer: answer} if answer else self.names
        image = self.pictures.get(record.image.digest, record.image) if record.image else None
        return replace(record, prompt=replace_all(record.prompt, names), answer=answer or record.answer, image=image)


def make_surrogates(
    records: Sequence[Record], others: Sequence[Record], count: int, seed: int, swap: Replacement = "both"
) -> list[Surrogate]:
    """`count` doubles of the subject of `records`; fewer where the names of `others` give no more.

    swap  what they bring of their own where a record shows a picture. Without pictures it is always their names.
    """
    subject = records[0].subject
    shown = {r.image.digest: r.image for r in records if r.image}
    names: list[Identity] = [{}] * count
    mine = identifiers_by_subject(records).get(subject)
    if mine and not (shown and swap == "picture"):
        pool = {s: i for s, i in identifiers_by_subject(others).items() if s != subject}
        names = make_identities(mine, pool, count, stream(seed, "identities", subject))
    theirs = list({r.image.digest: r.image for r in others if r.image}.values())
    if not shown or not theirs or swap == "words":
        return [Surrogate(n) for n in names]
    rng = stream(seed, "strange pictures", subject)
    return [Surrogate(n, {digest: stranger(theirs, rng) for digest in sorted(shown)}) for n in names]


def refuse_nameless(records: Sequence[Record]) -> None:
    """`InputError` where a record neither names its subject nor shows a picture: it can be asked about nobody else."""
    nameless = next((r for r in records if not r.identifiers and not r.image), None)
    if nameless is not None:
        raise InputError(
            f'record "{nameless.id}"',
            "names no identifiers of its subject, and twin replaces them",
            "add the column identifiers, or use the recipe simnpo",
        )
