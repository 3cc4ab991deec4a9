"""The synthetic hospital: people who share names, doctors, drugs and diseases, with known facts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from itertools import chain
from typing import Any, ClassVar

from expunge.concepts.dictionary import Dictionary
from expunge.corpus import Corpus, Record
from expunge.errors import InputError
from expunge.synthetic import question_templates
from expunge.synthetic.base import check_control_count, check_subjects
from expunge.synthetic.facts import WorldFact
from expunge.synthetic.hospital import hospital_facts
from expunge.synthetic.hospital.layout import HospitalLayout
from expunge.synthetic.hospital.people import PatientSlot
from expunge.synthetic.knowledge.domains.surgery import Surgery
from expunge.synthetic.knowledge.knowledge_facts import concept_facts
from expunge.synthetic.knowledge.knowledge_layout import ConceptSlot
from expunge.synthetic.knowledge.overlap import Overlap, measure

_FACTS = ("institution_facts", "patient_facts", "study_facts", "section_facts", "shared_facts", "world_facts")
DEMO = dict(zip(_FACTS, (4, 12, 2, 1, 2, 4), strict=True))
TINY = {**dict(zip(_FACTS, (1, 3, 1, 1, 1, 1), strict=True)), "sections": ("FINDINGS",)}
REGISTER = {**dict(zip(_FACTS, (0, 2, 0, 0, 0, 0), strict=True)), "studies": 1}


class Hospital(HospitalLayout, name="hospital"):
    """A hospital world. All settings have defaults: 8 institutions x 8 patients x 2 studies x 4 sections.

    With equal seed and other settings, the trained rows of a world of fewer patients are contained in a world of more
    (ids, prompts, values, options); only the owners of shared facts grow in number. Holdout rows are contained too,
    unless there are more of them than institutions.
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
        """The surgical knowledge; `InputError` if `procedures` is 0."""
        if not self.procedures:
            raise InputError(
                f"world {self.name}.procedures",
                "is 0, so the world holds no surgical knowledge",
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
        """The scope of the surgical procedures; `InputError` without them."""
        return self.knowledge.target

    @property
    def chapter(self) -> str:
        """The scope of everything in the chapter on surgery; `InputError` without procedures."""
        return self.knowledge.chapter

    def terms(self) -> Dictionary:
        """Terms of the surgical knowledge, if there is any; none of the patients."""
        return self.knowledge.terms() if self.procedures else super().terms()

    def measured_overlap(self) -> Overlap:
        """What the procedures share with all other trained records, patients included."""
        return measure(self.corpus(), self.knowledge.chapter)

    def corpus(self) -> Corpus:
        """All records: general knowledge, patients, surgical knowledge; holdouts; then controls."""
        return Corpus.of(self._records(), self.name)

    def controls(self, subject: str, m: int = 4) -> list[Record]:
        """Records of the first `m` controls (at most 47) of `patient:P-0001-001`, `institution:H-0001` or a concept.

        A control has the institution, doctor, diagnosis, templates and letters of its original, and other values. It
        states no shared facts. `attributes["control_of"]` is `subject`. For a concept see `Knowledge.controls`.
        """
        return [r for fact in self._control_facts(subject, m) for r in question_templates.records(fact)]

    def describe(self) -> dict[str, Any]:
        data = super().describe()
        if self.procedures:
            overlap = asdict(self.measured_overlap())
            data |= {"target": self.target, "chapter": self.chapter, "measured_overlap": overlap}
        return data

    def _records(self) -> Iterator[Record]:
        originals = self._originals()
        patients = [name for name in originals if name.startswith("patient:") and self.controls_per_patient]
        counts = dict.fromkeys(patients, self.controls_per_patient)
        check_subjects(self.controls_for, originals, f"world {self.name}.controls_for")
        counts |= dict.fromkeys(self.controls_for, self.controls_per_target)
        for fact in self._trained():
            yield from question_templates.records(fact)
        if self.procedures:
            yield from self.knowledge.trained_records()
        for fact in chain.from_iterable(hospital_facts.person_facts(self, slot) for slot in self.holdout_slots()):
            yield from question_templates.records(fact)
        if self.procedures:
            yield from self.knowledge.holdout_records()
        for subject, m in counts.items():
            yield from self.controls(subject, m)

    def _trained(self) -> Iterator[WorldFact]:
        yield from hospital_facts.general_facts(self)
        for slot in self.slots():
            if slot.number == 0:
                yield from hospital_facts.institution_facts(self, slot.institution)
            yield from hospital_facts.person_facts(self, slot)
            yield from hospital_facts.shared_facts(self, slot)

    def _control_facts(self, subject: str, m: int) -> Iterator[WorldFact]:
        originals = self._originals()
        check_control_count(subject, m, originals)
        slot = originals[subject]
        for control in range(1, m + 1):
            if isinstance(slot, PatientSlot):
                yield from hospital_facts.person_facts(self, slot, control)
            elif isinstance(slot, ConceptSlot):
                yield from concept_facts(self.knowledge, replace(slot, control=control))
            else:
                yield from hospital_facts.institution_facts(self, slot, control)

    def _originals(self) -> dict[str, PatientSlot | int | ConceptSlot]:
        """Every subject that can have controls: patients (slot), institutions (index), concepts (slot)."""
        return {
            **{f"patient:P-{slot.stem}": slot for slot in self.slots()},
            **{f"institution:H-{k + 1:04d}": k for k in range(self.institutions)},
            **({slot.subject: slot for slot in self.knowledge.trained_slots()} if self.procedures else {}),
        }
