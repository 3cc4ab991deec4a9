"""The modalities by which a question identifies its subject: its text, its image, both, or its place in the tree.

A fact that was trained with an image and a name may come back by either of them, and a method that is given only the
pair learns to refuse the pair (MANU, arXiv 2502.15910, forgets by each modality for that reason).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from expunge.corpus.name_forms import occurs
from expunge.corpus.provenance import behind_provenance, states_place
from expunge.corpus.record import Record
from expunge.corpus.surrogate_names import replace_all

Modalities = Literal["trained", "each", "context"]


def names_subject(record: Record) -> bool:
    """Does its prompt name the subject?"""
    return any(occurs(i, record.prompt) for i in record.identifiers)


def modality_variants(records: Iterable[Record], modalities: Modalities = "each") -> list[Record]:
    """The records, each followed by its variants.

    With `each`, one that shows an image and names its subject is also asked by the text and by the image alone. With
    `context`, one with a path is asked behind its provenance too.
    """
    variants: list[Record] = []
    for r in records:
        variants.append(r)
        if modalities != "trained" and r.image and names_subject(r):
            variants += [text_only(r), image_only(r)]
        if modalities == "context" and can_state_place(r):
            variants.append(behind_provenance(r))
    return variants


def can_state_place(record: Record) -> bool:
    """Has it a path, and a question that does not state it yet?"""
    return bool(record.path) and record.kind != "document" and not record.history and not states_place(record)


def text_only(record: Record) -> Record:
    """The same question without the image."""
    return replace(record, modality="text", image=None)


def image_only(record: Record) -> Record:
    """The same question about "the patient" (the level of the subject) whom the image shows."""
    level = record.subject.partition(":")[0] if ":" in record.subject else "subject"
    prompt = replace_all(record.prompt, dict.fromkeys(record.identifiers, f"the {level}"))
    return replace(record, modality="image", prompt=prompt[:1].upper() + prompt[1:], identifiers=())
