"""What a question shows: a picture and a name, a picture alone, or a name alone.

Surprising: with the picture alone nobody is named, so thousands of questions have the same words. What keeps them
apart is the picture, and that a relation is asked once of each picture and level.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from expunge.corpus import Record, RecordImage
from expunge.random import shuffled
from expunge.synthetic import question_templates
from expunge.synthetic.hospital.people import PatientSlot
from expunge.synthetic.question_templates import WorldFact

CUES = ("both", "image", "text")
SHOWN = {"institution": "the hospital of this picture", "patient": "the patient shown"}
STUDY_SHOWN = "the study shown"
VISIBLE = frozenset({"finding", "site", "extent", "view"})  # relations whose value the picture shows


@dataclass(frozen=True, slots=True)
class RadiologyQuestion:
    """A fact with all that decides its records: whom it concerns (None: nobody) and how it was to be asked."""

    fact: WorldFact
    bed: PatientSlot | None
    control: int
    cue: str
    marks: tuple[tuple[str, str], ...] = ()


def cue(seed: int, rank: int, *path: str) -> str:
    """The cue of the fact at place `rank` of a set: each once in three places."""
    block, place = divmod(rank, len(CUES))
    return shuffled(CUES, seed, *path, block, purpose="cue")[place]


def asked(fact: WorldFact, cue: str, picture: RecordImage | None, **marks: str) -> list[Record]:
    """The three records of a fact under a cue, with `marks` as attributes. A `text` cue leaves `picture` out."""
    rows = question_templates.records(_unnamed(fact) if cue == "image" else fact)
    told = {"cue": cue, **({"visible": True} if fact.relation.name in VISIBLE else {}), **marks}
    return [replace(r, image=None if cue == "text" else picture, attributes={**r.attributes, **told}) for r in rows]


def _unnamed(fact: WorldFact) -> WorldFact:
    """The same fact, asked of what is shown. A doctor, drug, disease or device is nobody, and stays named."""
    if fact.sharing == "shared":
        return replace(fact, lead="")
    level = fact.path[-1].partition(":")[0]
    return replace(fact, about=SHOWN.get(level, STUDY_SHOWN), names=())
