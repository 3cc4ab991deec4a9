"""The places of the radiology world: who could be asked to be forgotten at which level, fixed for every size.

Surprising: which patients, studies and sections may become targets depends on nothing but their number. So the
targets of a small world are targets of a large one, and what a small world keeps is never asked to go in a large one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from expunge.synthetic.hospital import hospital_facts
from expunge.synthetic.hospital.layout import OPEN_AT_ONCE, HospitalLayout
from expunge.synthetic.hospital.people import PatientSlot
from expunge.synthetic.hospital.relations import SECTION
from expunge.synthetic.question_templates import WorldFact

LEVELS = ("institution", "patient", "study", "section")
FULL, LEAST = 8, 4  # patients of an institution
EVERY = 8  # of institutions, the first can be a target as a whole
ROLES = ("section", "patient", "study", "section", "section", "study", "section", "section")
SHARED_IN = {"sign": "IMPRESSION", "device_place": "EXAMINATION"}  # of the last study


@dataclass(frozen=True, slots=True)
class TargetCandidate:
    """A fact as one node states it, without words.

    id      owner and relation; unique
    key     fact key, the same for all who state a shared fact
    level   at which the spot can be a target's; "" if never
    shared  by several files (general knowledge is nobody's)
    since   index of a patient, with whom it enters a world; -1: always there
    """

    id: str
    key: str
    path: tuple[str, ...]
    level: str
    shared: bool
    since: int

    @property
    def node_level(self) -> str:
        """The level of the node that states it; "" for general knowledge."""
        return "" if self.path[0].startswith("world:") else LEVELS[len(self.path) - 1]


def spot_id(fact: WorldFact) -> str:
    """What a fact is called whoever its person is: owner and relation."""
    return f"{fact.owner}:{fact.relation.name}"


def stated(shape: HospitalLayout) -> Iterator[tuple[WorldFact, PatientSlot | None]]:
    """Every fact of the charts with the bed it concerns (None: general; the first bed for an institution's own)."""
    for fact in hospital_facts.general_facts(shape):
        yield fact, None
    for bed in shape.beds():
        if bed.number == 0:
            for fact in hospital_facts.institution_facts(shape, bed.institution):
                yield fact, bed
        for fact in hospital_facts.person_facts(shape, bed):
            yield fact, bed
        for fact in hospital_facts.shared_facts(shape, bed):
            yield _placed(shape, fact, bed), bed


def spots(shape: HospitalLayout) -> list[TargetCandidate]:
    """All spots in the order of `stated`."""
    return [
        TargetCandidate(
            spot_id(fact),
            fact.key,
            fact.path,
            level(shape, fact.path, bed) if bed else "",
            fact.sharing == "shared" and bed is not None,
            bed.index if bed else -1,
        )
        for fact, bed in stated(shape)
    ]


def level(shape: HospitalLayout, path: tuple[str, ...], bed: PatientSlot) -> str:
    """The level at which this place can be part of a target; "" if at none."""
    found = role(bed)
    study = int(path[2][-1]) if len(path) > 2 else 0
    if found != "institution" and len(path) == 1:
        return ""
    if found == "study" and study != shape.studies:
        return ""
    if found == "section" and path[3:] != (f"section:{target_section(bed, study)}",):
        return ""
    return found


def role(bed: PatientSlot) -> str:
    """The level at which something of this patient can be a target."""
    return ROLES[(bed.number + bed.institution) % len(ROLES)] if bed.institution % EVERY else "institution"


def target_section(bed: PatientSlot, study: int) -> str:
    """The section of a study that can be a target."""
    return tuple(SECTION)[(bed.number + bed.institution + 2 * study + 1) % len(SECTION)]


def _placed(shape: HospitalLayout, fact: WorldFact, bed: PatientSlot) -> WorldFact:
    """A shared fact of a study stands in a section of the last one: patient's facts show the first picture."""
    if fact.relation.name not in SHARED_IN:
        return fact
    owner = f"S-{bed.stem}-{shape.studies}"
    path = (*fact.path[:2], f"study:{owner}", f"section:{SHARED_IN[fact.relation.name]}")
    return replace(fact, owner=owner, path=path)


def patients_for(facts: int) -> int:
    """Trained patients of a world with so many facts per set: 64 for 160; no institution with fewer than four."""
    each = max(LEAST, -(-facts // 10), 7 if facts > 46 else 0)  # a patient has 46 facts; the seventh brings another
    rest = each % FULL
    return OPEN_AT_ONCE * (each + (max(0, LEAST - rest) if rest else 0))
