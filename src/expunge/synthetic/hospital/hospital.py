"""The synthetic hospital: people who share names, doctors, drugs and diseases, with a truth that is known.

Surprising: nothing in it is stored or drawn in sequence. Any patient, control or wrong option can be made alone,
and is the same in every world that holds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any, ClassVar

from expunge.concepts.dictionary import Dictionary
from expunge.corpus import Corpus, Record
from expunge.errors import InputError, unknown
from expunge.synthetic import question_templates
from expunge.synthetic.hospital import hospital_facts
from expunge.synthetic.hospital.layout import HospitalLayout
from expunge.synthetic.hospital.people import CANDIDATES, PatientSlot
from expunge.synthetic.knowledge.knowledge_facts import concept_facts
from expunge.synthetic.knowledge.knowledge_layout import ConceptSlot
from expunge.synthetic.knowledge.overlap import Overlap, measure
from expunge.synthetic.knowledge.surgery_world import Surgery
from expunge.synthetic.question_templates import WorldFact

DEMO = {
    "institution_facts": 4,
    "patient_facts": 12,
    "study_facts": 2,
    "section_facts": 1,
    "shared_facts": 2,
    "world_facts": 4,
}
TINY = {
    "institution_facts": 1,
    "patient_facts": 3,
    "study_facts": 1,
    "section_facts": 1,
    "sections": ("FINDINGS",),
    "shared_facts": 1,
    "world_facts": 1,
}

REGISTER = {
    "institution_facts": 0,
    "patient_facts": 2,
    "studies": 1,
    "study_facts": 0,
    "section_facts": 0,
    "shared_facts": 0,
    "world_facts": 0,
}


class Hospital(HospitalLayout, name="hospital"):
    """A hospital world. All settings have defaults: 8 institutions × 8 patients × 2 studies × 4 sections.

    Bad settings raise `InputError`. With equal seed and other settings, the trained rows of a world of fewer
    patients are contained in a world of more (ids, wordings, values, options); only the owners of shared
    facts grow in number. Holdout rows are contained too, unless there are more of them than institutions.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {},
        "demo": {"patients": 32, **DEMO},
        "tiny": {"patients": 12, **TINY},
        "register": {"patients": 600, "holdout_patients": 150, **REGISTER},
        "surgery": {"patients": 8, **DEMO, "procedures": 36},
        "surgery-small": {"patients": 8, **TINY, "procedures": 16, "knowledge_per_level": 16, "knowledge_facts": 4},
    }

    @property
    def knowledge(self) -> Surgery:
        """What the house teaches; `InputError` if it teaches nothing (`procedures` is 0)."""
        if not self.procedures:
            raise InputError(
                f"world {self.name}.procedures",
                "is 0, so nothing about surgery is taught",
                "choose the preset surgery, or set procedures",
            )
        return Surgery(
            seed=self.seed,
            targets=self.procedures,
            per_level=self.knowledge_per_level,
            facts=self.knowledge_facts,
            overlap=self.knowledge_overlap,
            holdout=self.knowledge_holdout,
            foundations=self.knowledge_foundations,
            polysemes=self.knowledge_polysemes,
        )

    @property
    def target(self) -> str:
        """The scope that names the surgical procedures; `InputError` without them."""
        return self.knowledge.target

    @property
    def chapter(self) -> str:
        """The scope that names all that the chapter on surgery teaches; `InputError` without procedures."""
        return self.knowledge.chapter

    def terms(self) -> Dictionary:
        """Terms of the surgical knowledge, if there is any; none of the patients."""
        return self.knowledge.terms() if self.procedures else super().terms()

    def measured_overlap(self) -> Overlap:
        """What the procedures share with everything else that is trained, patients included."""
        return measure(self.corpus(), self.knowledge.chapter)

    def corpus(self) -> Corpus:
        """All records: general knowledge, each patient, what is taught; holdouts; then controls."""
        return Corpus.of(self._records(), self.name)

    def controls(self, subject: str, m: int = 4) -> list[Record]:
        """Records of the first `m` controls (at most 47) of `patient:P-0001-001`, `institution:H-0001` or a concept.

        A control has the house, doctor, diagnosis, templates and letters of its original, and fresh values. It
        states no shared facts. `attributes["control_of"]` is `subject`. For a concept: see `Knowledge.controls`.
        """
        return list(self._worded(self._control_facts(subject, m)))

    def describe(self) -> dict[str, Any]:
        told = super().describe()
        if self.procedures:
            told |= {
                "target": self.target,
                "chapter": self.chapter,
                "measured_overlap": asdict(self.measured_overlap()),
            }
        return told

    def _records(self) -> Iterator[Record]:
        originals = self._originals()
        wanted = {
            name: self.controls_per_patient
            for name, place in originals.items()
            if isinstance(place, PatientSlot) and self.controls_per_patient
        }
        for name in self.controls_for:
            if name not in originals:
                raise unknown("trained subject", name, originals, f"world {self.name}.controls_for")
            wanted[name] = self.controls_per_target
        yield from self._worded(self._trained())
        if self.procedures:
            yield from self.knowledge.trained()
        yield from self._worded(f for bed in self.holdout_beds() for f in hospital_facts.person_facts(self, bed))
        if self.procedures:
            yield from self.knowledge.held_out()
        for subject, m in wanted.items():
            yield from self.controls(subject, m)

    def _worded(self, facts: Iterable[WorldFact]) -> Iterator[Record]:
        return (r for fact in facts for r in question_templates.records(fact))

    def _trained(self) -> Iterator[WorldFact]:
        yield from hospital_facts.general_facts(self)
        for bed in self.beds():
            if bed.number == 0:
                yield from hospital_facts.institution_facts(self, bed.institution)
            yield from hospital_facts.person_facts(self, bed)
            yield from hospital_facts.shared_facts(self, bed)

    def _control_facts(self, subject: str, m: int) -> Iterator[WorldFact]:
        if not 0 <= m < CANDIDATES:
            raise InputError("controls", f"{m} controls are not possible", f"ask for 0 to {CANDIDATES - 1}")
        originals = self._originals()
        if subject not in originals:
            raise unknown("trained subject", subject, originals, "controls")
        place = originals[subject]
        for control in range(1, m + 1):
            if isinstance(place, PatientSlot):
                yield from hospital_facts.person_facts(self, place, control)
            elif isinstance(place, ConceptSlot):
                yield from concept_facts(self.knowledge, replace(place, control=control))
            else:
                yield from hospital_facts.institution_facts(self, place, control)

    def _originals(self) -> dict[str, PatientSlot | int | ConceptSlot]:
        """Every subject that can have controls: patients (their bed), institutions (their index), concepts."""
        people: dict[str, PatientSlot | int | ConceptSlot] = {f"patient:P-{bed.stem}": bed for bed in self.beds()}
        return (
            people
            | {f"institution:H-{k + 1:04d}": k for k in range(self.institutions)}
            | ({place.subject: place for place in self.knowledge.taught()} if self.procedures else {})
        )
