"""The hospital world with images: a drawn radiograph for each study, and the eight sets of MedForget.

The corpus consists of the sets alone. Other facts of this hospital are never trained, so the trained facts of a target
are those of its forget set.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property, lru_cache
from itertools import chain
from typing import Any, ClassVar

from pydantic import Field

from expunge.corpus import Corpus, Record
from expunge.errors import InputError, unknown
from expunge.random import SPAN, draw
from expunge.synthetic.base import World, check_control_count, check_subjects
from expunge.synthetic.facts import CANDIDATES, WorldFact
from expunge.synthetic.hospital import hospital_facts
from expunge.synthetic.hospital.hospital import Hospital
from expunge.synthetic.hospital.people import PatientSlot
from expunge.synthetic.radiology.image_assignment import image_source, study_image
from expunge.synthetic.radiology.medforget_sets import MedForgetSets, stages
from expunge.synthetic.radiology.modalities import (
    CONTEXT,
    MODALITIES,
    RadiologyQuestion,
    context_record,
    draw_modality,
    question_records,
)
from expunge.synthetic.radiology.target_candidates import (
    LEVELS,
    candidate_id,
    located_facts,
    patients_for,
    target_candidates,
)

MARK = re.compile(r"-t(\d\d)(?!\d)")  # in the ids of controls
ROWS = 24  # trained rows for each fact of a set: eight sets, three kinds of record


class Radiology(World, name="radiology"):
    """A hospital with images and MedForget's sets: forget and retain at each of four levels.

    With equal seed, the trained rows of a world of 192, 960, 3,840 or four times as many rows and so on are contained
    in every larger world (see `medforget_sets.STAGES`), apart from images of another size.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {},
        "cpu": {"instances": 1920},
        "small": {"instances": 192},
    }

    seed: int = Field(0, ge=0, lt=2**63, description="every draw depends on it")
    instances: int = Field(3840, ge=192, le=1_000_000, description="trained rows, rounded down to a multiple of 24")
    size: int = Field(96, ge=32, le=256, description="pixels of an image, each way")
    provenance: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of the facts that are also taught behind their place in the tree, as rows more",
    )
    holdout_patients: int | None = Field(None, ge=0, le=20_000, description="people never trained; one per institution")
    controls_for: tuple[str, ...] = Field((), description="nodes that get controls_per_target controls")
    controls_per_target: int = Field(40, ge=1, lt=CANDIDATES, description="controls of each node in controls_for")

    @property
    def facts(self) -> int:
        """Facts of each of the eight sets."""
        return self.instances // ROWS

    @cached_property
    def hospital(self) -> Hospital:
        """The hospital whose facts are asked."""
        return Hospital(seed=self.seed, patients=patients_for(self.facts), holdout_patients=self.holdout_patients)

    @cached_property
    def sets(self) -> MedForgetSets:
        """The trained facts of each set."""
        sets = MedForgetSets(self.seed, target_candidates(self.hospital))
        for size in stages(self.facts):
            sets.grow(size, patients_for(size))
        return sets

    def corpus(self) -> Corpus:
        """All records: the eight sets, people never trained, then the controls of `controls_for`."""
        return Corpus.of(self._records(), self.name)

    def target(self, level: str) -> str:
        """The scope of the forget set of a level: `patient:P-0002-001 or patient:P-0003-007`."""
        level = level.removesuffix("_level")
        if level not in LEVELS:
            raise unknown("level", level, LEVELS, f"world {self.name}")
        return " or ".join(
            "/".join(node) if level == "section" else node[-1] for node in sorted(self.sets.targets[level])
        )

    def controls(self, subject: str, m: int = 4) -> list[Record]:
        """Records of the first `m` controls (at most 47) of a patient, a study or an institution.

        A control is asked the trained facts of its original (without shared ones) in the same modalities, with images
        of its own. Controls of `study:S-0002-002-2` are those of its patient, restricted to that study:
        `attributes["control_of"]` names the patient. A node without trained facts of its own has no controls.
        """
        return [r for question in self._control_questions(subject, m) for r in self._question_records(question)]

    def probes(self, record: Record) -> dict[str, Record]:
        """The question of `record` in each modality: its own gives `record`, the others an id with `@modality`.

        General knowledge has no image, and gives `text` only.
        """
        question = self._question_of(record)
        record_id = record.id.removesuffix(CONTEXT)
        probes = {}
        for modality in MODALITIES if question.slot else ("text",):
            records = self._question_records(replace(question, modality=modality))
            variant = next(r for r in records if r.id == record_id)
            same = modality == question.modality and record.id == record_id
            probes[modality] = record if same else replace(variant, id=f"{record_id}@{modality}")
        return probes

    def describe(self) -> dict[str, Any]:
        counts = Counter(f"{member.level}_level/{member.set}" for member in self.sets.members.values())
        return super().describe() | {
            "sets": {name: 3 * count for name, count in sorted(counts.items())},
            "targets": {f"{level}_level": self.target(level) for level in LEVELS},
            "retain_shares": {f"{level}_level": self.sets.shares(level) for level in LEVELS},
        }

    def _records(self) -> Iterator[Record]:
        check_subjects(self.controls_for, self._originals, f"world {self.name}.controls_for")
        for question in chain(self._trained(), self._holdout()):
            records = self._question_records(question)
            yield from records
            if (
                question.slot
                and draw(self.seed, candidate_id(question.fact), purpose="provenance") < SPAN * self.provenance
            ):
                yield from map(context_record, records)
        controls = {r.id: r for name in self.controls_for for r in self.controls(name, self.controls_per_target)}
        yield from controls.values()

    def _question_records(self, question: RadiologyQuestion) -> list[Record]:
        if not question.slot or question.modality == "text":
            return question_records(question, None)
        slot, study = image_source(self.hospital, question.slot, question.fact)
        return question_records(question, study_image(self.hospital, slot, study, question.control, self.size))

    def _member_question(
        self, fact: WorldFact, slot: PatientSlot | None, member_id: str, control: int = 0
    ) -> RadiologyQuestion:
        """A fact in the place of a member of a set, with its letter and modality."""
        member = self.sets.members[member_id]
        letter = self.hospital.letter(member.rank, f"{member.level} {member.set}")
        modality = draw_modality(self.seed, member.rank, member.level, member.set) if slot else "text"
        attributes = () if control else (("level", f"{member.level}_level"), ("set", member.set))
        return RadiologyQuestion(replace(fact, letter=letter), slot, control, modality, attributes)

    def _trained(self) -> Iterator[RadiologyQuestion]:
        for fact, slot in located_facts(self.hospital):
            if (member_id := candidate_id(fact)) in self.sets.members:
                yield self._member_question(fact, slot, member_id)

    def _holdout(self) -> Iterator[RadiologyQuestion]:
        """As many facts of each holdout person as a trained one has on average."""
        layout = self.hospital
        each = -(-8 * self.facts // layout.patients)
        for slot in layout.holdout_slots():
            order = sorted(
                hospital_facts.person_facts(layout, slot),
                key=lambda f: draw(self.seed, candidate_id(f), purpose="order of spots"),
            )
            for k, fact in enumerate(order[:each], slot.index * each):
                fact = replace(fact, letter=layout.letter(k, "holdout"))
                yield RadiologyQuestion(fact, slot, 0, draw_modality(self.seed, k, "holdout"))

    def _control_questions(self, subject: str, m: int) -> Iterator[RadiologyQuestion]:
        check_control_count(subject, m, self._originals)
        slot, study = self._originals[subject], subject.startswith("study:")
        prefix = f"{subject.removeprefix('study:')}:" if study else ""
        for control in range(1, m + 1):
            facts = _control_facts(self.hospital, slot, subject.startswith("institution:"), control)
            for member_id, fact in facts.items():
                if member_id.startswith(prefix) and member_id in self.sets.members:
                    yield self._member_question(fact, slot, member_id, control)

    @cached_property
    def _originals(self) -> dict[str, PatientSlot]:
        """Every node that can have controls; for an institution its first slot."""
        originals: dict[str, PatientSlot] = {}
        for slot in self.hospital.slots():
            originals |= {f"study:S-{slot.stem}-{k + 1}": slot for k in range(self.hospital.studies)}
            originals[f"patient:P-{slot.stem}"] = slot
            originals.setdefault(f"institution:H-{slot.institution + 1:04d}", slot)
        return originals

    @cached_property
    def _questions(self) -> dict[str, RadiologyQuestion]:
        return {candidate_id(question.fact): question for question in chain(self._trained(), self._holdout())}

    def _question_of(self, record: Record) -> RadiologyQuestion:
        """The question that gave a record of this world."""
        name = record.id.removesuffix(CONTEXT).rpartition(":")[0]
        subject, mark = record.attributes.get("control_of"), MARK.search(name)
        if subject in self._originals and mark:
            control, member_id = int(mark[1]), MARK.sub("", name)
            slot = self._originals[subject]
            fact = _control_facts(self.hospital, slot, member_id.startswith("H-"), control).get(member_id)
            if fact and member_id in self.sets.members:
                return self._member_question(fact, slot, member_id, control)
        if name not in self._questions:
            raise InputError(f'record "{record.id}"', f"is not of this world {self.name}", "give one of its corpus")
        return self._questions[name]


@lru_cache(maxsize=256)
def _control_facts(layout: Hospital, slot: PatientSlot, institution: bool, control: int) -> dict[str, WorldFact]:
    """Facts of a control of a person, or of the institution of a slot, by the candidate id of the original."""
    facts = (
        hospital_facts.institution_facts(layout, slot.institution, control)
        if institution
        else hospital_facts.person_facts(layout, slot, control)
    )
    return {MARK.sub("", candidate_id(fact)): fact for fact in facts}
