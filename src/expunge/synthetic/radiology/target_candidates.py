"""Candidates for the forget sets of the radiology world: the level, if any, at which each fact can be a target.

The level depends only on the numbers of patient, study and section. So the targets of a small world are targets of a
large one, and what a small world retains is never a target of a large one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from expunge.synthetic.facts import WorldFact
from expunge.synthetic.hospital import hospital_facts
from expunge.synthetic.hospital.layout import OPEN_AT_ONCE, HospitalLayout
from expunge.synthetic.hospital.people import PatientSlot
from expunge.synthetic.hospital.relations import SECTION

LEVELS = ("institution", "patient", "study", "section")
FULL, LEAST = 8, 4  # patients of an institution
EVERY = 8  # of eight institutions the first can be a target as a whole
ROLES = ("section", "patient", "study", "section", "section", "study", "section", "section")
SHARED_IN = {"sign": "IMPRESSION", "device_place": "EXAMINATION"}  # sections of the last study


@dataclass(frozen=True, slots=True)
class TargetCandidate:
    """A fact as one node states it, without words.

    Attributes:
        id: owner and relation; unique
        key: fact key; all owners of a shared fact have the same
        level: the level at which it can be a target; "" for none
        shared: stated by several files (general knowledge is nobody's)
        since: index of the patient with whom it enters a world; -1 if always present
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


def candidate_id(fact: WorldFact) -> str:
    """Owner and relation of a fact."""
    return f"{fact.owner}:{fact.relation.name}"


def located_facts(layout: HospitalLayout) -> Iterator[tuple[WorldFact, PatientSlot | None]]:
    """Every fact with the patient slot it concerns: None for general facts, the first slot for an institution's."""
    for fact in hospital_facts.general_facts(layout):
        yield fact, None
    for slot in layout.slots():
        if slot.number == 0:
            for fact in hospital_facts.institution_facts(layout, slot.institution):
                yield fact, slot
        for fact in hospital_facts.person_facts(layout, slot):
            yield fact, slot
        for fact in hospital_facts.shared_facts(layout, slot):
            yield _in_section(layout, fact, slot), slot


def target_candidates(layout: HospitalLayout) -> list[TargetCandidate]:
    """All candidates in the order of `located_facts`."""
    return [
        TargetCandidate(
            candidate_id(fact),
            fact.key,
            fact.path,
            candidate_level(layout, fact.path, slot) if slot else "",
            fact.sharing == "shared" and slot is not None,
            slot.index if slot else -1,
        )
        for fact, slot in located_facts(layout)
    ]


def candidate_level(layout: HospitalLayout, path: tuple[str, ...], slot: PatientSlot) -> str:
    """The level at which a node can be part of a target; "" for none."""
    level = target_level(slot)
    study = int(path[2][-1]) if len(path) > 2 else 0
    if level != "institution" and len(path) == 1:
        return ""
    if level == "study" and study != layout.studies:
        return ""
    if level == "section" and path[3:] != (f"section:{target_section(slot, study)}",):
        return ""
    return level


def target_level(slot: PatientSlot) -> str:
    """The level at which a part of this patient's file can be a target."""
    return ROLES[(slot.number + slot.institution) % len(ROLES)] if slot.institution % EVERY else "institution"


def target_section(slot: PatientSlot, study: int) -> str:
    """The section of a study that can be a target."""
    return tuple(SECTION)[(slot.number + slot.institution + 2 * study + 1) % len(SECTION)]


def _in_section(layout: HospitalLayout, fact: WorldFact, slot: PatientSlot) -> WorldFact:
    """Moves a shared fact of a study to a section of the last study; facts of a patient show the first image."""
    if fact.relation.name not in SHARED_IN:
        return fact
    owner = f"S-{slot.stem}-{layout.studies}"
    path = (*fact.path[:2], f"study:{owner}", f"section:{SHARED_IN[fact.relation.name]}")
    return replace(fact, owner=owner, path=path)


def patients_for(facts: int) -> int:
    """Trained patients of a world with this many facts in each set: 64 for 160; at least four an institution."""
    each = max(LEAST, -(-facts // 10), 7 if facts > 46 else 0)  # a patient has 46 facts; the seventh brings another
    rest = each % FULL
    return OPEN_AT_ONCE * (each + (max(0, LEAST - rest) if rest else 0))
