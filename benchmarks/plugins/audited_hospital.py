"""A hospital for audits: patients to be forgotten, and others who are asked in further formats and conversations, too.

A model from scratch answers in no format that it never met. So the patients who stay are taught in the formats and
conversations in which the audit asks too, each in a few of them; those to be forgotten are not, and what an attack in
such a format brings out about them is what the model joins by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field

from expunge.audit.checks.clue_chain import chained
from expunge.audit.checks.format_shift import shifted
from expunge.corpus import Corpus, Record
from expunge.random import shuffled
from expunge.synthetic.base import World
from expunge.synthetic.hospital.hospital import Hospital

NAME = "audited-hospital"


class AuditedHospital(World, name=NAME):
    """Patients in institutions of four; the first ones may be asked to be forgotten, alone or all together."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"small": {}}

    seed: int = Field(42, ge=0, description="seed of every draw")
    patients: int = Field(16, ge=4, le=200, description="trained patients")
    per_institution: int = Field(4, ge=2, description="patients of an institution")
    facts: int = Field(5, ge=2, le=12, description="facts of a patient, three questions each")
    candidates: int = Field(4, ge=1, description="patients who may be asked to be forgotten")
    formats: int = Field(1, ge=0, le=5, description="further formats in which a free question about others is taught")
    conversations: int = Field(1, ge=0, le=2, description="conversations of so many turns in which it is taught")

    @property
    def target(self) -> str:
        """The scope of one patient."""
        return self.subjects()[0]

    def subjects(self) -> list[str]:
        """The patients who may be asked to be forgotten."""
        names = (r.subject for r in self._hospital().corpus().trained if r.subject.startswith("patient:"))
        return list(dict.fromkeys(names))[: self.candidates]

    def corpus(self) -> Corpus:
        """The hospital with matched controls of every candidate, and the others in further formats."""
        hospital, names = self._hospital(), self.subjects()
        trained = list(hospital.corpus().trained)
        others = [r for r in trained if r.subject.startswith("patient:") and r.subject not in names]
        rest = [r for r in hospital.corpus() if r.split]
        controls = [r for name in names for r in hospital.controls(name, 40)]
        return Corpus.of((*trained, *self._further(others), *rest, *controls), NAME)

    def controls(self, subject: str, m: int = 4) -> list[Record]:
        """Records of never-trained controls of a patient."""
        return self._hospital().controls(subject, m)

    def _hospital(self) -> Hospital:
        sizes = {"patient_facts": self.facts, "per_institution": self.per_institution, "patients": self.patients}
        none = dict.fromkeys(("shared_facts", "world_facts", "study_facts", "section_facts"), 0)
        return Hospital.preset("tiny", seed=self.seed, studies=1, **none, **sizes)

    def _further(self, records: list[Record]) -> Iterator[Record]:
        """The free questions of these records in other formats and behind retained facts."""
        questions = [r for r in records if r.kind == "generation"]
        for r in questions:
            forms = shuffled(list(shifted(r, False)), self.seed, r.id, purpose="formats")
            for form, one in forms[: self.formats]:
                yield replace(one.record, id=f"{r.id}~{form}", answer=one.lead + one.record.answer, variants=())
            clues = [c for c in questions if c.path[0] == r.path[0] and c.answer != r.answer and c.id != r.id]
            for turns in range(1, self.conversations + 1):
                chosen = shuffled(clues, self.seed, r.id, turns, purpose="clues")[:turns]
                yield replace(chained(r, chosen).record, id=f"{r.id}~turns-{turns}", answer=r.answer)
