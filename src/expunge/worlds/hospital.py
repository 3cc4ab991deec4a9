"""The synthetic hospital: people who share names, doctors, drugs and diseases, with a truth that is known.

Surprising: nothing in it is stored or drawn in sequence. Any patient, twin or wrong option can be made alone,
and is the same in every world that holds it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from expunge.corpus import Corpus, Record
from expunge.errors import InputError, unknown
from expunge.worlds import charts, wording
from expunge.worlds.people import CANDIDATES, Bed
from expunge.worlds.shape import Shape
from expunge.worlds.wording import Fact

PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "demo": {"patients": 32, "institution_facts": 4, "patient_facts": 12, "study_facts": 2,
             "section_facts": 1, "shared_facts": 2, "world_facts": 4},
    "tiny": {"patients": 12, "institution_facts": 1, "patient_facts": 3, "study_facts": 1, "section_facts": 1,
             "sections": ("FINDINGS",), "shared_facts": 1, "world_facts": 1},
}


class Hospital(Shape, name="hospital"):
    """A hospital world. All settings have defaults: 8 institutions × 8 patients × 2 studies × 4 sections.

    Bad settings raise `InputError`. With equal seed and other settings, the trained rows of a world of fewer
    patients are contained in a world of more (ids, wordings, values, options); only the owners of shared
    facts grow in number. Holdout rows are contained too, unless there are more of them than institutions.
    """

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Hospital:
        """`default`, `demo` (about 2,600 trained rows) or `tiny` (about 300), with some settings changed."""
        if name not in PRESETS:
            raise unknown("preset", name, PRESETS, f"world {cls.name}")
        return cls(**(PRESETS[name] | changes))

    def corpus(self) -> Corpus:
        """All records: general knowledge, each patient, holdout people, then the twins asked for."""
        return Corpus.of((r for fact in self._facts() for r in wording.records(fact)), self.name)

    def twins(self, subject: str, m: int = 4) -> list[Record]:
        """Records of the first `m` twins (at most 47) of `patient:P-0001-001` or `institution:H-0001`.

        A twin has the house, doctor, diagnosis, templates and letters of its original, and fresh values. It
        states no shared facts. `attributes["twin_of"]` is `subject`.
        """
        return [r for fact in self._twin_facts(subject, m) for r in wording.records(fact)]

    def _facts(self) -> Iterator[Fact]:
        originals = self._originals()
        wanted = {name: self.twins_per_patient for name, place in originals.items() if isinstance(place, Bed)}
        for name in self.twins_for:
            if name not in originals:
                raise unknown("trained subject", name, originals, f"world {self.name}.twins_for")
            wanted[name] = self.twins_per_target
        yield from charts.general_facts(self)
        for bed in self.beds():
            if bed.number == 0:
                yield from charts.institution_facts(self, bed.institution)
            yield from charts.person_facts(self, bed)
            yield from charts.shared_facts(self, bed)
        for bed in self.holdout_beds():
            yield from charts.person_facts(self, bed)
        for subject, m in wanted.items():
            yield from self._twin_facts(subject, m)

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
            else:
                yield from charts.institution_facts(self, place, twin)

    def _originals(self) -> dict[str, Bed | int]:
        """Every subject that can have twins: patients (their bed) and institutions (their index)."""
        return {f"patient:P-{bed.stem}": bed for bed in self.beds()} | {
            f"institution:H-{k + 1:04d}": k for k in range(self.institutions)}
