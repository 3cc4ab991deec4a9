"""Sizes of the hospital world, and the place of every person.

Patients are numbered across institutions: patient i goes to institution i mod 4 until each of those four holds
`per_institution`, then four more open. A world with fewer patients is contained, row by row, in a world with more,
if seed and all other settings agree.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, field_validator

from expunge.errors import nearest
from expunge.random import shuffled
from expunge.synthetic.base import World
from expunge.synthetic.facts import CANDIDATES, WINDOW, FactRelation
from expunge.synthetic.hospital.people import PatientSlot
from expunge.synthetic.hospital.relations import COMMON, GENERAL, INSTITUTION, PATIENT, SECTION, STUDY
from expunge.synthetic.knowledge.knowledge_layout import MAX_CONCEPTS, POLYSEMES, RELATIONS

OPEN_AT_ONCE = 4  # institutions
FactSlot = tuple[FactRelation, int, str]  # relation, study (0: none), section ("": none)


class HospitalLayout(World):
    """Settings of a hospital world, and the arithmetic of places."""

    seed: int = Field(0, ge=0, lt=2**63, description="every draw depends on it")
    patients: int = Field(64, ge=4, le=100_000, description="trained patients, over all institutions")
    per_institution: int = Field(8, ge=1, le=900, description="patients of an institution before others open")
    studies: int = Field(2, ge=1, le=5, description="studies of a patient")
    sections: tuple[str, ...] = Field(tuple(SECTION), min_length=1, description="sections of a study")
    institution_facts: int = Field(8, ge=0, le=len(INSTITUTION), description="facts of an institution")
    patient_facts: int = Field(10, ge=1, le=len(PATIENT), description="facts of a patient outside studies")
    study_facts: int = Field(6, ge=0, le=len(STUDY), description="facts of a study outside sections")
    section_facts: int = Field(3, ge=0, le=3, description="facts of a section")
    shared_facts: int = Field(4, ge=0, le=len(COMMON), description="facts that others state too")
    world_facts: int = Field(12, ge=0, le=12, description="general facts of each level, L1 to L3")
    overlap: float = Field(1.0, ge=0, le=1, description="share of values from whole pools, the rest from one quarter")
    holdout_patients: int | None = Field(None, ge=0, le=20_000, description="people never trained; one per institution")
    procedures: int = Field(
        0, ge=0, le=MAX_CONCEPTS, description="surgical procedures taught; 0 for no surgical knowledge"
    )
    knowledge_per_level: int = Field(
        36, ge=1, le=MAX_CONCEPTS, description="concepts of each of L1 to L3 beside procedures"
    )
    knowledge_facts: int = Field(5, ge=1, le=RELATIONS, description="facts of a procedure or other concept")
    knowledge_overlap: float = Field(0.0, ge=0, le=0.75, description="overlap of procedures with L1 to L3")
    knowledge_foundations: int = Field(
        0, ge=0, le=MAX_CONCEPTS, description="concepts of each of L1 to L3 in the chapter only"
    )
    knowledge_polysemes: int = Field(0, ge=0, le=POLYSEMES, description="words with a surgical and an everyday sense")
    knowledge_holdout: int | None = Field(
        None, ge=0, le=MAX_CONCEPTS, description="procedures never trained; as many as trained"
    )
    controls_per_patient: int = Field(0, ge=0, lt=CANDIDATES, description="controls of every patient in the corpus")
    controls_for: tuple[str, ...] = Field((), description="nodes that get controls_per_target controls")
    controls_per_target: int = Field(40, ge=1, lt=CANDIDATES, description="controls of each node in controls_for")

    @field_validator("sections")
    @classmethod
    def _check_sections(cls, sections: tuple[str, ...]) -> tuple[str, ...]:
        for name in sections:
            if name not in SECTION:
                raise ValueError(f'no section "{name}", {nearest(name, SECTION)}')
        if len(set(sections)) < len(sections):
            raise ValueError("a section is named twice")
        return sections

    @property
    def institutions(self) -> int:
        """Institutions with at least one trained patient."""
        return self._open_institutions(self.patients)

    def slot(self, index: int) -> PatientSlot:
        """The slot of trained patient `index`."""
        round_, rest = divmod(index, OPEN_AT_ONCE * self.per_institution)
        number, institution = divmod(rest, OPEN_AT_ONCE)
        return PatientSlot(index, round_ * OPEN_AT_ONCE + institution, number)

    def first_patient(self, institution: int) -> int:
        """The index of the first patient of an institution."""
        round_, rest = divmod(institution, OPEN_AT_ONCE)
        return round_ * OPEN_AT_ONCE * self.per_institution + rest

    def slots(self) -> Iterator[PatientSlot]:
        """The slots of all trained patients."""
        return map(self.slot, range(self.patients))

    def holdout_slots(self) -> Iterator[PatientSlot]:
        """Slots of people never trained, dealt to the institutions in turn."""
        count = self.institutions if self.holdout_patients is None else self.holdout_patients
        for index in range(count):
            number, institution = divmod(index, self.institutions)
            yield PatientSlot(index, institution, number, trained=False)

    def fact_slots(self) -> list[FactSlot]:
        """Every fact that is about one person alone, in order."""
        studies = range(1, self.studies + 1)
        return [
            *((r, 0, "") for r in PATIENT[: self.patient_facts]),
            *((r, s, "") for s in studies for r in STUDY[: self.study_facts]),
            *((r, s, name) for s in studies for name in self.sections for r in SECTION[name][: self.section_facts]),
        ]

    def peers(self, slot: PatientSlot) -> list[int]:
        """Trained patients whose values serve as wrong options: up to 12 before, at least 3, not the patient."""
        last = slot.index if slot.trained else self.first_patient(slot.institution)
        window = range(max(0, last - WINDOW), max(last + 1, OPEN_AT_ONCE))
        return [i for i in window if not (slot.trained and i == last)]

    def letter(self, rank: int, partition: str = "trained") -> int:
        """Position of the answer in the classification row `rank`: each position once in four rows."""
        block, place = divmod(rank, 4)
        return shuffled(range(4), self.seed, block, purpose=f"letters {partition}")[place]

    def first_rank(self, slot: PatientSlot) -> int:
        """Classification rows of the trained set before those of a patient."""
        per_patient = len(self.fact_slots()) + self.shared_facts
        institutions = self._open_institutions(slot.index + 1)
        return self.world_facts * len(GENERAL) + self.institution_facts * institutions + per_patient * slot.index

    def _open_institutions(self, patients: int) -> int:
        full, rest = divmod(patients, OPEN_AT_ONCE * self.per_institution)
        return full * OPEN_AT_ONCE + min(rest, OPEN_AT_ONCE)
