"""Which picture a question shows, and what is drawn in it: the study's own findings in a person's own chest."""

from __future__ import annotations

from functools import lru_cache

from expunge.corpus import RecordImage
from expunge.random import pick
from expunge.synthetic.hospital import hospital_facts
from expunge.synthetic.hospital.layout import HospitalLayout
from expunge.synthetic.hospital.people import PatientSlot, person
from expunge.synthetic.hospital.relations import SECTION
from expunge.synthetic.question_templates import WorldFact
from expunge.synthetic.radiology.render import png, radiograph
from expunge.synthetic.radiology.target_candidates import LEAST, role

DRAWN = {r.name: r for rows in SECTION.values() for r in rows}


def visible_findings(shape: HospitalLayout, bed: PatientSlot, fact: WorldFact) -> tuple[PatientSlot, int]:
    """The bed and study whose picture a fact is asked with.

    A study's facts show that study, a patient's the first, an institution's the first of one of its patients: one
    of those whom no request names as a whole.
    """
    if len(fact.path) > 2:
        return bed, int(fact.path[2][-1])
    if len(fact.path) == 2:
        return bed, 1
    first = shape.opening(bed.institution)
    hosts = [host for k in range(LEAST) if role(host := shape.bed(first + 4 * k)) != "patient"]
    return pick(hosts, shape.seed, bed.institution, fact.relation.name, purpose="host of a picture"), 1


def study_image(shape: HospitalLayout, bed: PatientSlot, study: int, control: int, size: int) -> RecordImage:
    """The picture of a study of the person in a bed, or of one of its controls."""
    who = person(shape.seed, bed, control)
    finding, site, extent, view = (
        str(hospital_facts.value(shape, who, DRAWN[name], study)) for name in ("finding", "site", "extent", "view")
    )
    data = _drawn(shape.seed, who.number, finding, site, extent, view, size)
    return RecordImage.of(f"images/S-{who.stem}-{study}.png", data)


@lru_cache(maxsize=1024)
def _drawn(seed: int, number: int, finding: str, site: str, extent: str, view: str, size: int) -> bytes:
    return png(radiograph(seed, number, finding, site, extent, view, size))
