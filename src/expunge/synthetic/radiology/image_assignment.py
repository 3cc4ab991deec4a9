"""The image of a question: the findings of its study, drawn in the chest of its person."""

from __future__ import annotations

from functools import lru_cache

from expunge.corpus import RecordImage
from expunge.random import pick
from expunge.synthetic.facts import WorldFact
from expunge.synthetic.hospital import hospital_facts
from expunge.synthetic.hospital.layout import HospitalLayout
from expunge.synthetic.hospital.people import PatientSlot, person
from expunge.synthetic.hospital.relations import SECTION
from expunge.synthetic.radiology.render import png, radiograph
from expunge.synthetic.radiology.target_candidates import LEAST, target_level

DRAWN = tuple(
    next(r for rows in SECTION.values() for r in rows if r.name == name)
    for name in ("finding", "site", "extent", "view")
)


def image_source(layout: HospitalLayout, slot: PatientSlot, fact: WorldFact) -> tuple[PatientSlot, int]:
    """The patient slot and study whose image a fact is asked with.

    A study's facts show that study, a patient's facts the first study, an institution's facts the first study of one
    of its patients who is never a target as a whole.
    """
    if len(fact.path) > 2:
        return slot, int(fact.path[2][-1])
    if len(fact.path) == 2:
        return slot, 1
    first = layout.first_patient(slot.institution)
    hosts = [host for k in range(LEAST) if target_level(host := layout.slot(first + 4 * k)) != "patient"]
    return pick(hosts, layout.seed, slot.institution, fact.relation.name, purpose="host of a picture"), 1


def study_image(layout: HospitalLayout, slot: PatientSlot, study: int, control: int, size: int) -> RecordImage:
    """The image of a study of the person in a slot, or of one of its controls."""
    subject = person(layout.seed, slot, control)
    values = (str(hospital_facts.value(layout, subject, relation, study)) for relation in DRAWN)
    return RecordImage.of(f"images/S-{subject.stem}-{study}.png", _png(layout.seed, subject.number, size, *values))


@lru_cache(maxsize=1024)
def _png(seed: int, number: int, size: int, finding: str, site: str, extent: str, view: str) -> bytes:
    return png(radiograph(seed, number, finding, site, extent, view, size))
