"""Modality of a question: an image and a name (`both`), an image alone, or a name alone (`text`).

With the image alone nobody is named, so many questions have the same words. The image tells them apart, and each
relation is asked once of each image and level.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from expunge.corpus import Record, RecordImage
from expunge.corpus.provenance import behind_provenance
from expunge.random import shuffled
from expunge.synthetic import question_templates
from expunge.synthetic.facts import WorldFact
from expunge.synthetic.hospital.people import PatientSlot

CONTEXT = "@context"  # ends the id of a record behind its provenance
MODALITIES = ("both", "image", "text")
SUBJECT_PHRASES = {"institution": "the hospital of this picture", "patient": "the patient shown"}
STUDY_PHRASE = "the study shown"
VISIBLE = frozenset({"finding", "site", "extent", "view"})  # relations whose value the image shows


@dataclass(frozen=True, slots=True)
class RadiologyQuestion:
    """A fact with everything that decides its records. `slot` is the patient's; None for general knowledge."""

    fact: WorldFact
    slot: PatientSlot | None
    control: int
    modality: str
    attributes: tuple[tuple[str, str], ...] = ()


def draw_modality(seed: int, rank: int, *path: str) -> str:
    """The modality of the fact at place `rank` of a set: each once in three places."""
    block, place = divmod(rank, len(MODALITIES))
    return shuffled(MODALITIES, seed, *path, block, purpose="cue")[place]


def question_records(question: RadiologyQuestion, image: RecordImage | None) -> list[Record]:
    """The three records of a question; the modality `text` leaves `image` out."""
    fact, modality = question.fact, question.modality
    visible = {"visible": True} if fact.relation.name in VISIBLE else {}
    attributes = {"cue": modality, **visible, **dict(question.attributes)}
    return [
        replace(r, image=None if modality == "text" else image, attributes={**r.attributes, **attributes})
        for r in question_templates.records(_anonymous(fact) if modality == "image" else fact)
    ]


def _anonymous(fact: WorldFact) -> WorldFact:
    """The same fact, asked of what the image shows. Shared facts are about entities, which stay named."""
    if fact.sharing == "shared":
        return replace(fact, lead="")
    level = fact.path[-1].partition(":")[0]
    return replace(fact, about=SUBJECT_PHRASES.get(level, STUDY_PHRASE), names=())


def context_record(record: Record) -> Record:
    """The record behind its provenance, as a row of the world: nobody is named, no image is shown."""
    attributes = {**record.attributes, "cue": "context"}
    return replace(behind_provenance(record), id=f"{record.id}{CONTEXT}", modality="trained", attributes=attributes)
