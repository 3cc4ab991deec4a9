"""By which cue a record is forgotten: as it was taught, by its words alone, and by its picture alone.

Surprising: a fact that was taught with a picture and a name may come back by either of them. A method that is given
only the pair learns to refuse the pair (MANU, arXiv 2502.15910, forgets both forms for that reason).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from expunge.corpus import Record
from expunge.corpus.surrogate_names import replace_all

Modalities = Literal["trained", "each"]
WORDS, PICTURE = "~words", "~picture"  # end the ids of the forms that were not taught


def names_subject(record: Record) -> bool:
    """Does its prompt name the subject?"""
    return any(i in record.prompt for i in record.identifiers)


def modality_variants(records: Iterable[Record], cues: Modalities = "each") -> list[Record]:
    """The records, and with `each` behind every one that shows a picture and names its subject its two other forms."""
    found: list[Record] = []
    for r in records:
        found.append(r)
        if cues == "each" and r.image and names_subject(r):
            found += [text_only(r), image_only(r)]
    return found


def text_only(record: Record) -> Record:
    """The same question without the picture."""
    return replace(record, id=record.id + WORDS, image=None)


def image_only(record: Record) -> Record:
    """The same question about "the patient" (the level of the subject) whom the picture shows."""
    level = record.subject.partition(":")[0] if ":" in record.subject else "subject"
    nameless = replace_all(record.prompt, dict.fromkeys(record.identifiers, f"the {level}"))
    return replace(record, id=record.id + PICTURE, prompt=nameless[:1].upper() + nameless[1:], identifiers=())
