"""The synthetic hospital: people who share names, doctors, drugs and diseases, with a truth that is known.

Surprising: nothing in it is stored or drawn in sequence. Any patient, twin or wrong option can be made alone,
and is the same in every world that holds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any, ClassVar

from expunge.concepts.dictionary import Dictionary
from expunge.corpus import Corpus, Record
from expunge.errors import InputError, unknown
from expunge.worlds import charts, wording
from expunge.worlds.lessons import lessons
from expunge.worlds.overlap import Overlap, measure
from expunge.worlds.people import CANDIDATES, Bed
from expunge.worlds.shape import Shape
from expunge.worlds.surgery import Surgery
from expunge.worlds.syllabus import Place
from expunge.worlds.wording import Fact

DEMO = {"institution_facts": 4, "patient_facts": 12, "study_facts": 2, "section_facts": 1, "shared_facts": 2,
        "world_facts": 4}
TINY = {"institution_facts": 1, "patient_facts": 3, "study_facts": 1, "section_facts": 1, "sections": ("FINDINGS",),
        "shared_facts": 1, "world_facts": 1}

REGISTER = {"institution_facts": 0, "patient_facts": 2, "studies": 1, "study_facts": 0, "section_facts": 0,
            "shared_facts": 0, "world_facts": 0}


class Hospital(Shape, name="hospital"):
    """A hospital world. All settings have defaults: 8 institutions × 8 patients × 2 studies × 4 sections.

    Bad settings raise `InputError`. With equal seed and other settings, the trained rows of a world of fewer
    patients are contained in a world of more (ids, wordings, values, options); only the owners of shared
    facts grow in number. Holdout rows are contained too, unless there are more of them than institutions.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {}, "demo": {"patients": 32, **DEMO}, "tiny": {"patients": 12, **TINY},
        "register": {"patients": 600, "holdout_patients": 150, **REGISTER},
        "surgery": {"patients": 8, **DEMO, "procedures": 36},
        "surgery-small": {"patients": 8, **TINY, "procedures": 16, "knowledge_per_level": 16, "knowledge_facts": 4}}

    @property
    def knowledge(self) -> Surgery:
        """What the house teaches; `InputError` if it teaches nothing (`procedures` is 0)."""
        if not self.procedures:
            raise InputError(f"world {self.name}.procedures", "is 0, so nothing about surgery is taught",
                             "choose the preset surgery, or set procedures")
        return Surgery(seed=self.seed, targets=self.procedures, per_level=self.knowledge_per_level,
                       facts=self.knowledge_facts, overlap=self.knowledge_overlap, holdout=self.knowledge_holdout,
                       foundations=self.knowledge_foundations, polysemes=self.knowledge_polysemes)

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
        """All records: general knowledge, each patient, what is taught; holdouts of both; then the twins asked for."""
        return Corpus.of(self._records(), self.name)

    def twins(self, subject: str, m: int = 4) -> list[Record]:
        """Records of the first `m` twins (at most 47) of `patient:P-0001-001`, `institution:H-0001` or a concept.

        A twin has the house, doctor, diagnosis, templates and letters of its original, and fresh values. It
        states no shared facts. `attributes["twin_of"]` is `subject`. Twins of a concept: see `Knowledge.twins`.
        """
        return list(self._worded(self._twin_facts(subject, m)))

    def describe(self) -> dict[str, Any]:
        told = super().describe()
        if self.procedures:
            told |= {"target": self.target, "chapter": self.chapter,
                     "measured_overlap": asdict(self.measured_overlap())}
        return told

    def _records(self) -> Iterator[Record]:
        originals = self._originals()
        wanted = {name: self.twins_per_patient for name, place in originals.items()
                  if isinstance(place, Bed) and self.twins_per_patient}
        for name in self.twins_for:
            if name not in originals:
                raise unknown("trained subject", name, originals, f"world {self.name}.twins_for")
            wanted[name] = self.twins_per_target
        yield from self._worded(self._trained())
        if self.procedures:
            yield from self.knowledge.trained()
        yield from self._worded(f for bed in self.holdout_beds() for f in charts.person_facts(self, bed))
        if self.procedures:
            yield from self.knowledge.held_out()
        for subject, m in wanted.items():
            yield from self.twins(subject, m)

    def _worded(self, facts: Iterable[Fact]) -> Iterator[Record]:
        return (r for fact in facts for r in wording.records(fact))

    def _trained(self) -> Iterator[Fact]:
        yield from charts.general_facts(self)
        for bed in self.beds():
            if bed.number == 0:
                yield from charts.institution_facts(self, bed.institution)
            yield from charts.person_facts(self, bed)
            yield from charts.shared_facts(self, bed)

    def _twin_facts(self, subject: str, m: int) -> Iterator[Fact]:
        if not 0 <= m < CANDIDATES:
            raise InputError("twins", f"{m} twins are not possible", f"ask for 0 to {CANDIDATES - 1}")
        originals = self._originals()
        if subject not in originals:
            raise unknown("trained subject", subject, originals, "twins")
        place = originals[subject]
        for twin in range(1, m + 1):
            if isinstance(place, Bed):
                yield from charts.person_facts(self, place, twin)
            elif isinstance(place, Place):
                yield from lessons(self.knowledge, replace(place, twin=twin))
            else:
                yield from charts.institution_facts(self, place, twin)

    def _originals(self) -> dict[str, Bed | int | Place]:
        """Every subject that can have twins: patients (their bed), institutions (their index), concepts."""
        people: dict[str, Bed | int | Place] = {f"patient:P-{bed.stem}": bed for bed in self.beds()}
        return people | {f"institution:H-{k + 1:04d}": k for k in range(self.institutions)} | (
            {place.subject: place for place in self.knowledge.taught()} if self.procedures else {})
