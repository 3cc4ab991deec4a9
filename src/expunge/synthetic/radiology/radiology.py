"""The hospital world with pictures: a drawn radiograph per study, and the eight sets of MedForget.

Surprising: the corpus is the sets and nothing else. What the charts of this hospital say beyond them is never
trained, so the trained facts of a target are exactly those that its level asks to forget.
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

from expunge.corpus import Corpus, Record, RecordImage
from expunge.errors import InputError, unknown
from expunge.random import draw
from expunge.synthetic.base import World
from expunge.synthetic.hospital import hospital_facts
from expunge.synthetic.hospital.hospital import Hospital
from expunge.synthetic.hospital.people import CANDIDATES, PatientSlot
from expunge.synthetic.question_templates import WorldFact
from expunge.synthetic.radiology.image_assignment import study_image, visible_findings
from expunge.synthetic.radiology.medforget_sets import MedForgetSets, stages
from expunge.synthetic.radiology.modalities import CUES, RadiologyQuestion, asked, cue
from expunge.synthetic.radiology.target_candidates import LEVELS, patients_for, spot_id, spots, stated

MARK = re.compile(r"-t(\d\d)(?!\d)")  # in the ids of controls
ROWS = 24  # trained for every fact that each set holds: eight sets, three tasks


class Radiology(World, name="radiology"):
    """A hospital with pictures and MedForget's sets: forget and retain at each of four levels.

    With equal seed, the trained rows of a world of 192, 960, 3,840 or four times as many rows and so on are contained
    in every larger world (see `levels.STAGES`); pictures of another size are of course others.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {},
        "cpu": {"instances": 1920},
        "small": {"instances": 192},
    }

    seed: int = Field(0, ge=0, lt=2**63, description="every draw depends on it")
    instances: int = Field(3840, ge=192, le=1_000_000, description="trained rows, rounded down to a multiple of 24")
    size: int = Field(96, ge=32, le=256, description="pixels of a picture, each way")
    holdout_patients: int | None = Field(
        None, ge=0, le=20_000, description="people never trained; if not given, one per institution"
    )
    controls_for: tuple[str, ...] = Field((), description="nodes that get controls_per_target controls")
    controls_per_target: int = Field(40, ge=1, lt=CANDIDATES, description="controls of each node in controls_for")

    @property
    def facts(self) -> int:
        """Facts of each of the eight sets."""
        return self.instances // ROWS

    @cached_property
    def hospital(self) -> Hospital:
        """Whose charts these are."""
        return Hospital(seed=self.seed, patients=patients_for(self.facts), holdout_patients=self.holdout_patients)

    @cached_property
    def levels(self) -> MedForgetSets:
        """Which facts are trained, in which set."""
        made = MedForgetSets(self.seed, spots(self.hospital))
        for size in stages(self.facts):
            made.grow(size, patients_for(size))
        return made

    def corpus(self) -> Corpus:
        """All records: the eight sets, people never trained, then the controls asked for."""
        return Corpus.of(self._records(), self.name)

    def target(self, level: str) -> str:
        """The scope that asks for the forget set of a level: `patient:P-0002-001 or patient:P-0003-007`."""
        level = level.removesuffix("_level")
        if level not in LEVELS:
            raise unknown("level", level, LEVELS, f"world {self.name}")
        return " or ".join(
            "/".join(node) if level == "section" else node[-1] for node in sorted(self.levels.targets[level])
        )

    def controls(self, subject: str, m: int = 4) -> list[Record]:
        """Records of the first `m` controls (at most 47) of a patient, of a study or of an institution.

        A control is asked what its original was trained on (shared facts excepted), under the same cues, and has
        pictures of its own. Controls of `study:S-0002-002-2` are those of its patient, as far as they concern that
        study: `attributes["control_of"]` names the patient. A node that was trained on nothing of its own
        has none.
        """
        return [r for about in self._controls(subject, m) for r in self._asked(about)]

    def probes(self, record: Record) -> dict[str, Record]:
        """The question of `record` under each cue; its own cue gives `record` itself, the others an id with `@cue`.

        General knowledge is about nobody who has a picture, and can be asked in text only.
        """
        about = self._source(record)
        found = {}
        for way in CUES if about.bed else ("text",):
            asked_so = next(r for r in self._asked(replace(about, cue=way)) if r.id == record.id)
            found[way] = record if way == about.cue else replace(asked_so, id=f"{record.id}@{way}")
        return found

    def describe(self) -> dict[str, Any]:
        sets = Counter(f"{seat.level}_level/{seat.set}" for seat in self.levels.seats.values())
        return super().describe() | {
            "sets": {name: 3 * count for name, count in sorted(sets.items())},
            "targets": {f"{level}_level": self.target(level) for level in LEVELS},
            "retain_shares": {f"{level}_level": self.levels.shares(level) for level in LEVELS},
        }

    def _records(self) -> Iterator[Record]:
        for name in self.controls_for:
            if name not in self._originals:
                raise unknown("trained subject", name, self._originals, f"world {self.name}.controls_for")
        for about in chain(self._trained(), self._holdout()):
            yield from self._asked(about)
        controls = {r.id: r for name in self.controls_for for r in self.controls(name, self.controls_per_target)}
        yield from controls.values()

    def _asked(self, about: RadiologyQuestion) -> list[Record]:
        image: RecordImage | None = None
        if about.bed and about.cue != "text":
            bed, study = visible_findings(self.hospital, about.bed, about.fact)
            image = study_image(self.hospital, bed, study, about.control, self.size)
        return asked(about.fact, about.cue, image, **dict(about.marks))

    def _seated(self, fact: WorldFact, bed: PatientSlot | None, spot: str, control: int = 0) -> RadiologyQuestion:
        """A fact in the place of the trained spot, with its letter and cue."""
        seat = self.levels.seats[spot]
        letter = self.hospital.letter(seat.rank, f"{seat.level} {seat.set}")
        way = cue(self.seed, seat.rank, seat.level, seat.set) if bed else "text"
        marks = () if control else (("level", f"{seat.level}_level"), ("set", seat.set))
        return RadiologyQuestion(replace(fact, letter=letter), bed, control, way, marks)

    def _trained(self) -> Iterator[RadiologyQuestion]:
        for fact, bed in stated(self.hospital):
            if (spot := spot_id(fact)) in self.levels.seats:
                yield self._seated(fact, bed, spot)

    def _holdout(self) -> Iterator[RadiologyQuestion]:
        """As many facts of each person as a trained one has on average."""
        shape = self.hospital
        each = -(-8 * self.facts // shape.patients)
        for bed in shape.holdout_beds():
            order = sorted(
                hospital_facts.person_facts(shape, bed),
                key=lambda f: draw(self.seed, spot_id(f), purpose="order of spots"),
            )
            for k, fact in enumerate(order[:each], bed.index * each):
                yield RadiologyQuestion(
                    replace(fact, letter=shape.letter(k, "holdout")), bed, 0, cue(self.seed, k, "holdout")
                )

    def _controls(self, subject: str, m: int) -> Iterator[RadiologyQuestion]:
        if not 0 <= m < CANDIDATES:
            raise InputError("controls", f"{m} controls are not possible", f"ask for 0 to {CANDIDATES - 1}")
        if subject not in self._originals:
            raise unknown("trained subject", subject, self._originals, "controls")
        bed = self._originals[subject]
        for control in range(1, m + 1):
            for spot, fact in _control_facts(self.hospital, bed, subject.startswith("institution:"), control).items():
                meant = spot.startswith(f"{subject.removeprefix('study:')}:") or not subject.startswith("study:")
                if meant and spot in self.levels.seats:
                    yield self._seated(fact, bed, spot, control)

    @cached_property
    def _originals(self) -> dict[str, PatientSlot]:
        """Every node that can have controls; for an institution its first bed."""
        found: dict[str, PatientSlot] = {}
        for bed in self.hospital.beds():
            found |= {f"study:S-{bed.stem}-{k + 1}": bed for k in range(self.hospital.studies)}
            found[f"patient:P-{bed.stem}"] = bed
            found.setdefault(f"institution:H-{bed.institution + 1:04d}", bed)
        return found

    @cached_property
    def _sources(self) -> dict[str, RadiologyQuestion]:
        return {spot_id(about.fact): about for about in chain(self._trained(), self._holdout())}

    def _source(self, record: Record) -> RadiologyQuestion:
        """Where a record of this world comes from."""
        name = record.id.rpartition(":")[0]
        subject, mark = record.attributes.get("control_of"), MARK.search(name)
        if subject in self._originals and mark:
            control, spot = int(mark[1]), MARK.sub("", name)
            fact = _control_facts(self.hospital, self._originals[subject], spot.startswith("H-"), control).get(spot)
            if fact and spot in self.levels.seats:
                return self._seated(fact, self._originals[subject], spot, control)
        if name not in self._sources:
            raise InputError(f'record "{record.id}"', f"is not of this world {self.name}", "give one of its corpus")
        return self._sources[name]


@lru_cache(maxsize=256)
def _control_facts(shape: Hospital, bed: PatientSlot, institution: bool, control: int) -> dict[str, WorldFact]:
    """Facts of a control of a person, or of the institution that a bed stands in, by the spot of the original."""
    facts = (
        hospital_facts.institution_facts(shape, bed.institution, control)
        if institution
        else hospital_facts.person_facts(shape, bed, control)
    )
    return {MARK.sub("", spot_id(fact)): fact for fact in facts}
