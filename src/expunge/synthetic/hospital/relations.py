"""What can be known in the hospital world: each relation with its words, its topic and its pool of values.

Surprising: a relation carries two words for one thing. Each is trained in some of its three kinds of record,
and rephrasings swap them, so that a rephrased question differs in words as well as in sentence structure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from expunge.synthetic.hospital import vocabulary as w

POOLS: dict[str, tuple[str, ...]] = {
    "procedure": w.PROCEDURES,
    "drug": tuple(w.DRUG_CLASS),
    "blood group": w.BLOOD_GROUPS,
    "disease": tuple(w.DISEASE_SIGN),
    "allergen": w.ALLERGENS,
    "doctor": w.DOCTORS,
    "occupation": w.OCCUPATIONS,
    "ward": w.WARDS,
    "town": w.TOWNS,
    "modality": w.MODALITIES,
    "device": w.DEVICES,
    "staff": w.STAFF,
    "priority": w.PRIORITIES,
    "room": w.ROOMS,
    "view": w.VIEWS,
    "contrast agent": w.CONTRASTS,
    "posture": w.POSTURES,
    "symptom": w.SYMPTOMS,
    "duration": w.DURATIONS,
    "trigger": w.TRIGGERS,
    "finding": w.FINDINGS,
    "site": w.SITES,
    "size": w.SIZES,
    "certainty": w.CERTAINTIES,
    "advice": w.NEXT_STEPS,
    "professor": w.CHIEFS,
    "year": w.YEARS,
    "count": w.BEDS,
    "emblem": w.EMBLEMS,
    "hour": w.HOURS,
    "software": w.ARCHIVES,
    "specialty": w.SPECIALTIES,
    "sign": tuple(w.DISEASE_SIGN.values()),
    "drug class": tuple(w.DRUG_CLASS.values()),
    "place": w.PLACES,
    "organ system": tuple(w.ORGAN_SYSTEM.values()),
    "quantity": tuple(w.INSTRUMENT_MEASURE.values()),
    "field": tuple(w.CONDITION_FIELD.values()),
}


@dataclass(frozen=True, slots=True)
class FactRelation:
    """One kind of fact.

    statement   a cloze sentence of its own; {T} is what the fact is about
    form        which of the four forms of a sentence (see `wording`) is the trained one
    link        the word between noun and {T}
    """

    name: str
    topic: str
    value_type: str
    noun: str
    alias: str
    statement: str
    form: int
    link: str = "of"
    concept: str = "L4"

    @property
    def pool(self) -> tuple[str, ...]:
        """Values to draw from; empty where the value is made from the person's number or the study's."""
        return POOLS.get(self.value_type, ())


@dataclass(frozen=True, slots=True)
class SharedFact:
    """A relation whose facts many files state: about an entity (a doctor, a drug), never about a patient.

    table   entity → value, or None where the entity is invented and its value drawn
    pair    patient i shares the entity with patient i XOR pair, so that two owners lie in two institutions
    study   the fact stands in the first study, else in the patient's own file
    """

    relation: FactRelation
    kind: str
    table: Mapping[str, str] | None
    pair: int
    study: bool


def _row(line: str, form: int, link: str = "of", concept: str = "L4") -> FactRelation:
    """A relation from `name | topic | value type | noun | alias | statement`."""
    name, topic, value_type, noun, alias, statement = (cell.strip() for cell in line.split("|"))
    return FactRelation(name, topic, value_type, noun, alias, statement, form, link, concept)


def _table(text: str, link: str = "of") -> tuple[FactRelation, ...]:
    """One relation a line; forms take turns."""
    return tuple(_row(line, k % 4, link) for k, line in enumerate(text.strip().splitlines()))


PATIENT = _table("""
    date_of_birth | Demographics | birth date | date of birth | birthday | {T} was born on [blank].
    procedure | Surgery | procedure | surgical procedure | operation | {T} underwent [blank].
    medication | Medication | drug | regular medication | daily drug | {T} takes [blank] every day.
    blood_group | Laboratory | blood group | blood group | blood type | The blood of {T} is [blank].
    diagnosis | Diagnosis | disease | main diagnosis | chief illness | {T} is treated for [blank].
    allergy | Medication | allergen | known allergy | recorded intolerance | {T} is allergic to [blank].
    referring_doctor | Care | doctor | referring doctor | family physician | {T} was referred by [blank].
    phone | Demographics | phone | phone number | telephone contact | Call {T} on [blank].
    occupation | Demographics | occupation | occupation | line of work | {T} earns a living as [blank].
    ward | Care | ward | ward | nursing unit | {T} lies on [blank].
    record_number | Demographics | record number | record number | file code | {T} is filed under [blank].
    email | Demographics | e-mail | e-mail address | electronic mailbox | Write to {T} at [blank].
    residence | Demographics | town | home town | place of residence | {T} lives in [blank].
""")
BY_BED = {"diagnosis": "disease", "referring_doctor": "doctor"}  # the same for a patient and all its controls

STUDY = _table("""
    study_date | Imaging | study date | date | calendar day | {T} took place on [blank].
    modality | Imaging | modality | modality | imaging technique | {T} was done by [blank].
    device | Imaging | device | device | machine | {T} ran on [blank].
    radiographer | Imaging | staff | radiographer | technician | {T} was carried out by [blank].
    priority | Imaging | priority | priority | level of haste | {T} was marked [blank].
    room | Imaging | room | room | place of examination | {T} happened in [blank].
""")

SECTION: dict[str, tuple[FactRelation, ...]] = {
    "EXAMINATION": _table(
        """
        view | Imaging | view | view | camera direction | {T} shows a [blank] view.
        contrast | Imaging | contrast agent | contrast agent | injected dye | {T} was enhanced with [blank].
        posture | Imaging | posture | posture | body position | {T} was taken [blank].
    """,
        link="in",
    ),
    "INDICATION": _table(
        """
        symptom | Diagnosis | symptom | presenting symptom | complaint | {T} was ordered because of [blank].
        duration | Diagnosis | duration | duration | time since onset | {T} followed trouble for [blank].
        trigger | Diagnosis | trigger | suspected trigger | assumed cause | {T} was prompted by [blank].
    """,
        link="in",
    ),
    "FINDINGS": _table(
        """
        finding | Imaging | finding | main finding | chief observation | {T} revealed [blank].
        site | Imaging | site | site | location of the change | {T} drew attention to the [blank].
        extent | Imaging | size | extent | measured size | {T} measured [blank].
    """,
        link="in",
    ),
    "IMPRESSION": _table(
        """
        impression | Diagnosis | disease | impression | reader's conclusion | {T} suggests [blank].
        certainty | Diagnosis | certainty | certainty | degree of confidence | {T} was judged [blank].
        next_step | Care | advice | next step | recommendation | {T} led to [blank].
    """,
        link="in",
    ),
}

INSTITUTION = _table("""
    town | Institution | town | town | place on the map | {T} stands in [blank].
    director | Institution | professor | director | head of the house | {T} is led by [blank].
    founded | Institution | year | founding year | year of opening | {T} opened in [blank].
    beds | Institution | count | number of beds | capacity | {T} has [blank] beds.
    emblem | Institution | emblem | emblem | sign over the door | {T} shows a [blank] on its flag.
    radiology_chief | Institution | doctor | chief radiologist | head of imaging | {T} trusts [blank].
    visiting_time | Institution | hour | visiting time | hour for guests | {T} admits guests from [blank].
    archive | Institution | software | archive system | software for files | {T} keeps its papers in [blank].
""")

COMMON = (
    SharedFact(
        _row("specialty | Care | specialty | specialty | field of medicine | {T} practises [blank].", 0, concept="L3"),
        "doctor",
        None,
        pair=1,
        study=False,
    ),
    SharedFact(
        _row("sign | Diagnosis | sign | typical sign | hallmark | {T} typically shows as [blank].", 1, concept="L2"),
        "disease",
        w.DISEASE_SIGN,
        pair=2,
        study=True,
    ),
    SharedFact(
        _row(
            "drug_class | Medication | drug class | drug class | pharmacological group | "
            "{T} belongs to the group [blank].",
            2,
            concept="L2",
        ),
        "drug",
        w.DRUG_CLASS,
        pair=3,
        study=False,
    ),
    SharedFact(
        _row(
            "device_place | Imaging | place | location | installation site | {T} is installed in the [blank].",
            3,
            concept="L3",
        ),
        "device",
        None,
        pair=1,
        study=True,
    ),
)

GENERAL: tuple[tuple[FactRelation, Mapping[str, str]], ...] = (
    (
        _row(
            "organ_system | Anatomy | organ system | organ system | body system | "
            "The {T} belongs to the [blank] system.",
            1,
            concept="L1",
        ),
        w.ORGAN_SYSTEM,
    ),
    (
        _row(
            "measures | Instruments | quantity | measured quantity | purpose | The {T} measures [blank].",
            2,
            concept="L2",
        ),
        w.INSTRUMENT_MEASURE,
    ),
    (
        _row(
            "field | Specialties | field | responsible specialty | branch of medicine | "
            "The treatment of {T} falls to [blank].",
            3,
            concept="L3",
        ),
        w.CONDITION_FIELD,
    ),
)
