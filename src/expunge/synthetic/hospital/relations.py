"""Relations of the hospital world: of patients, studies, sections and institutions, and those that many files state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from expunge.synthetic.facts import FactRelation
from expunge.synthetic.hospital.vocabulary import HOSPITAL_DATA, POOLS, TABLES


@dataclass(frozen=True, slots=True)
class SharedFact:
    """A relation of an entity (a doctor, disease, drug or device) that several files state.

    Attributes:
        kind: value type of the entity
        table: entity -> value; None where entity and value are invented
        pair: patient i shares the entity with patient i XOR pair, who lies in another institution
        study: the fact stands in the first study, else in the patient's own file
    """

    relation: FactRelation
    kind: str
    table: Mapping[str, str] | None
    pair: int
    study: bool


def _relations(
    key: str, link: str = "of", concepts: tuple[str, ...] | None = None, first_form: int = 0
) -> tuple[FactRelation, ...]:
    """Relations of one section of `data/hospital.yaml`; the four forms take turns."""
    rows = HOSPITAL_DATA["relations"][key]
    return tuple(
        FactRelation(name, topic, value_type, noun, alias, statement, (k + first_form) % 4, link, concept)
        for k, ((name, topic, value_type, noun, alias, statement), concept) in enumerate(
            zip(rows, concepts or ("L4",) * len(rows), strict=True)
        )
    )


def pool_of(relation: FactRelation) -> tuple[str, ...]:
    """Values to draw from; empty where the value is made from the number of the person or study."""
    return POOLS.get(relation.value_type, ())


PATIENT, STUDY, INSTITUTION = (_relations(key) for key in ("patient", "study", "institution"))
SECTION = {name: _relations(name, "in") for name in ("EXAMINATION", "INDICATION", "FINDINGS", "IMPRESSION")}
BY_SLOT = {"diagnosis": "disease", "referring_doctor": "doctor"}  # the same for a patient and all its controls
COMMON = tuple(
    SharedFact(relation, kind, TABLES.get(relation.value_type), pair, study)
    for relation, (kind, pair, study) in zip(
        _relations("shared", concepts=("L3", "L2", "L2", "L3")),
        (("doctor", 1, False), ("disease", 2, True), ("drug", 3, False), ("device", 1, True)),
        strict=True,
    )
)
GENERAL = tuple((r, TABLES[r.value_type]) for r in _relations("general", concepts=("L1", "L2", "L3"), first_form=1))
