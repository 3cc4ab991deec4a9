"""Chest radiographs of Hannover Medical School: patient, study of a day, picture; questions made from the table.

Reads `metadata.csv` (or its folder) with the pictures in `images/`. The table knows no name, institution or date, and
none is invented here. Surprising: it knows no studies either. A study is one patient on one day; its number is ours,
so `synthetic` of every record below the patient names it. Empty fields mean "unknown" and are not asked about;
laboratory values may be `inf` or `-inf`, beyond what could be measured, and are asked about in words.

Licence CC BY 3.0: whoever shows or passes on a picture must pass on `attribution`, which every record carries.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from expunge.corpus.loaders import csv
from expunge.corpus.loaders.base import LOADERS, Loader, SourceRow
from expunge.corpus.loaders.field_types import shortened
from expunge.corpus.loaders.text_source import lines, nonempty
from expunge.errors import InputError, nearest

LICENCE = "CC BY 3.0"
ATTRIBUTION = (
    "Winther et al., COVID-19 Image Repository, Hannover Medical School, DOI 10.6084/m9.figshare.12275009, "
    "CC BY 3.0; pictures may have been resized and compressed"
)
COLUMNS = ("patient_id", "image_id", "sex", "admission_offset", "modality", "projection")
LEVELS = ("patient", "study", "image")
PLACE = {
    "patient": "patient {patient}",
    "study": "study {study} of patient {patient}",
    "image": "image {image} in study {study} of patient {patient}",
}
WORDINGS = (
    "What is the {thing} of {place}?",
    "Concerning {place}: which {thing} does the record give?",
    "Give the {thing} that is on record for {place}.",
)


@dataclass(frozen=True, slots=True)
class Ask:
    """A question about one column. `values`: code → answer, for a choice; a number where it is empty."""

    column: str
    level: str
    thing: str
    values: Mapping[str, str] = field(default_factory=dict)


ASKED = (
    Ask("sex", "patient", "sex", {"m": "male", "f": "female"}),
    Ask("age", "patient", "age in years"),
    Ask("size", "patient", "height"),
    Ask("weight", "patient", "weight"),
    Ask("admission_offset", "study", "number of days from the examination to hospital admission"),
    Ask("icu_admission_offset", "study", "number of days from the examination to intensive care admission"),
    Ask("icu_release_offset", "study", "number of days from the examination to intensive care release"),
    Ask("death_offset", "study", "number of days from the examination to death"),
    Ask("crp_val", "study", "C-reactive protein value"),
    Ask("d-dimer_val", "study", "D-dimer value"),
    Ask("factor_xii_val", "study", "coagulation factor XIII value"),
    Ask("ldh_val", "study", "lactate dehydrogenase value"),
    Ask("lymphocytes_val", "study", "lymphocyte count"),
    Ask("neutrophils_val", "study", "neutrophil count"),
    Ask("pco2_val", "study", "partial pressure of carbon dioxide"),
    Ask("po2_val", "study", "partial pressure of oxygen"),
    Ask("modality", "image", "modality", {"CR": "computed radiography", "DX": "digital radiography"}),
    Ask("projection", "image", "projection", {"ap": "anteroposterior", "pa": "posteroanterior"}),
)


def rows(source: Path) -> Iterator[SourceRow]:
    """The questions in our columns: each about a patient, a study or a picture once, at its first row."""
    table = list(nonempty(csv.read, source / "metadata.csv" if source.is_dir() else source))
    studies = _studies(table)
    told: set[tuple[str, str]] = set()
    for row in table:
        names = {name: _name(row, f"{name}_id") for name in ("patient", "image")}
        names["study"] = studies[names["patient"], _day(row)]
        for ask in ASKED:
            value = row.values.get(ask.column, "")
            key = names[ask.level], ask.column
            if value == "" or str(value).lower() == "nan" or key in told:
                continue
            told.add(key)
            yield SourceRow(row.where, _question(row, ask, names, _answer(row, ask, value)), row.folder)


def _question(row: SourceRow, ask: Ask, names: Mapping[str, str], answer: str) -> dict[str, Any]:
    place = PLACE[ask.level].format(**names)
    first, *others = (wording.format(thing=ask.thing, place=place) for wording in WORDINGS)
    path = LEVELS[: LEVELS.index(ask.level) + 1]
    return {
        "id": f"{names[ask.level]}-{ask.column}",
        "prompt": first,
        "answer": answer,
        "variants": others,
        "options": list(ask.values.values()) or None,
        "path": [f"{level}:{names[level]}" for level in path],
        "subject": f"patient:{names['patient']}",
        "identifiers": [names[level] for level in path],
        "image": _file(row, names["image"]),
        "relation": ask.column.removesuffix("_val"),
        "synthetic": ["study"] if "study" in path else [],
        "licence": LICENCE,
        "attribution": ATTRIBUTION,
    }


def _studies(table: list[SourceRow]) -> dict[tuple[str, float], str]:
    """(patient, day) → S-001, … in the order of patients in the table, then of time."""
    days: dict[str, set[float]] = {}
    for row in table:
        days.setdefault(_name(row, "patient_id"), set()).add(_day(row))
    ordered = [(patient, day) for patient, found in days.items() for day in sorted(found, reverse=True)]
    return {place: f"S-{number:03d}" for number, place in enumerate(ordered, 1)}


def _day(row: SourceRow) -> float:
    """Days from the examination to admission: the smaller, the later the examination."""
    found = _number(row, "admission_offset", row.values.get("admission_offset", ""))
    if not math.isfinite(found):
        raise InputError(row.where, "admission_offset is not a day", "restore the row; studies are made of days")
    return found


def _answer(row: SourceRow, ask: Ask, value: str) -> str:
    if ask.values:
        if value not in ask.values:
            raise InputError(row.where, f'unknown {ask.column} "{shortened(value)}"', nearest(value, ask.values))
        return ask.values[value]
    found = _number(row, ask.column, value)
    if math.isinf(found):
        return f"{'above' if found > 0 else 'below'} what can be measured"
    return f"{found:.10g}"


def _number(row: SourceRow, column: str, value: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise InputError(row.where, f'{column} "{shortened(value)}" is not a number', "restore the row") from error


def _name(row: SourceRow, column: str) -> str:
    name = str(row.values.get(column, "")).strip()
    if not name:
        raise InputError(row.where, f'no "{column}"', "restore the row")
    return name


def _file(row: SourceRow, image: str) -> str:
    """JPEG as in our copy, PNG as published."""
    png = f"images/{image}.png"
    return png if (row.folder / png).is_file() else f"images/{image}.jpg"


def _fits(source: Path) -> bool:
    file = source / "metadata.csv" if source.is_dir() else source
    try:
        return file.name == "metadata.csv" and set(COLUMNS) <= set(next(lines(file))[1].strip().split(","))
    except (InputError, StopIteration):
        return False


LOADERS.add("xray-hannover", Loader(rows, _fits, fixed=True))
