"""Chest radiographs of Hannover Medical School: patient, study of a day, picture; questions made from the table.

Reads `metadata.csv` (or its folder) with the pictures in `images/`. The table holds no name, institution or date, and
none is invented here. It holds no studies either: a study is one patient on one day with a number of ours, which
`synthetic` of every record below the patient states. Empty fields mean "unknown" and get no question; laboratory values
may be `inf` or `-inf`, beyond the range of the measurement, and are asked about in words.

License CC BY 3.0: `attribution`, which every record carries, must accompany every picture that is shown or passed on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from expunge.corpus.loaders.base import LOADERS, Loader, SourceRow
from expunge.corpus.loaders.field_types import shorten
from expunge.corpus.loaders.tables import read_csv
from expunge.corpus.loaders.text_source import lines, nonempty
from expunge.errors import InputError, nearest

LICENSE = "CC BY 3.0"
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
class ColumnQuestion:
    """A question about one column. `values`: code → answer, for a choice; a number where it is empty."""

    column: str
    level: str
    thing: str
    values: Mapping[str, str] = field(default_factory=dict)


QUESTIONS = (
    ColumnQuestion("sex", "patient", "sex", {"m": "male", "f": "female"}),
    ColumnQuestion("age", "patient", "age in years"),
    ColumnQuestion("size", "patient", "height"),
    ColumnQuestion("weight", "patient", "weight"),
    ColumnQuestion("admission_offset", "study", "number of days from the examination to hospital admission"),
    ColumnQuestion("icu_admission_offset", "study", "number of days from the examination to intensive care admission"),
    ColumnQuestion("icu_release_offset", "study", "number of days from the examination to intensive care release"),
    ColumnQuestion("death_offset", "study", "number of days from the examination to death"),
    ColumnQuestion("crp_val", "study", "C-reactive protein value"),
    ColumnQuestion("d-dimer_val", "study", "D-dimer value"),
    ColumnQuestion("factor_xii_val", "study", "coagulation factor XIII value"),
    ColumnQuestion("ldh_val", "study", "lactate dehydrogenase value"),
    ColumnQuestion("lymphocytes_val", "study", "lymphocyte count"),
    ColumnQuestion("neutrophils_val", "study", "neutrophil count"),
    ColumnQuestion("pco2_val", "study", "partial pressure of carbon dioxide"),
    ColumnQuestion("po2_val", "study", "partial pressure of oxygen"),
    ColumnQuestion("modality", "image", "modality", {"CR": "computed radiography", "DX": "digital radiography"}),
    ColumnQuestion("projection", "image", "projection", {"ap": "anteroposterior", "pa": "posteroanterior"}),
)


def rows(source: Path) -> Iterator[SourceRow]:
    """The questions in our columns: each about a patient, a study or a picture once, at its first row."""
    table = list(nonempty(read_csv, source / "metadata.csv" if source.is_dir() else source))
    studies = _studies(table)
    done: set[tuple[str, str]] = set()
    for row in table:
        names = {name: _name(row, f"{name}_id") for name in ("patient", "image")}
        names["study"] = studies[names["patient"], _day(row)]
        for question in QUESTIONS:
            value = row.values.get(question.column, "")
            key = names[question.level], question.column
            if value == "" or str(value).lower() == "nan" or key in done:
                continue
            done.add(key)
            yield row.with_values(_question(row, question, names, _answer(row, question, value)))


def _question(row: SourceRow, question: ColumnQuestion, names: Mapping[str, str], answer: str) -> dict[str, Any]:
    place = PLACE[question.level].format(**names)
    first, *others = (wording.format(thing=question.thing, place=place) for wording in WORDINGS)
    path = LEVELS[: LEVELS.index(question.level) + 1]
    return {
        "id": f"{names[question.level]}-{question.column}",
        "prompt": first,
        "answer": answer,
        "variants": others,
        "options": list(question.values.values()) or None,
        "path": [f"{level}:{names[level]}" for level in path],
        "subject": f"patient:{names['patient']}",
        "identifiers": [names[level] for level in path],
        "image": _file(row, names["image"]),
        "relation": question.column.removesuffix("_val"),
        "synthetic": ["study"] if "study" in path else [],
        "licence": LICENSE,
        "attribution": ATTRIBUTION,
    }


def _studies(table: list[SourceRow]) -> dict[tuple[str, float], str]:
    """(patient, day) -> S-001, … in the order of patients in the table, then of time."""
    days: dict[str, set[float]] = {}
    for row in table:
        days.setdefault(_name(row, "patient_id"), set()).add(_day(row))
    ordered = [(patient, day) for patient, of_patient in days.items() for day in sorted(of_patient, reverse=True)]
    return {place: f"S-{number:03d}" for number, place in enumerate(ordered, 1)}


def _day(row: SourceRow) -> float:
    """Days from the examination to admission: the smaller, the later the examination."""
    days = _number(row, "admission_offset", row.values.get("admission_offset", ""))
    if not math.isfinite(days):
        raise InputError(row.where, "admission_offset is not a day", "restore the row; studies are made of days")
    return days


def _answer(row: SourceRow, question: ColumnQuestion, value: str) -> str:
    if question.values:
        if value not in question.values:
            hint = nearest(value, question.values)
            raise InputError(row.where, f'unknown {question.column} "{shorten(value)}"', hint)
        return question.values[value]
    number = _number(row, question.column, value)
    if math.isinf(number):
        return f"{'above' if number > 0 else 'below'} what can be measured"
    return f"{number:.10g}"


def _number(row: SourceRow, column: str, value: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise InputError(row.where, f'{column} "{shorten(value)}" is not a number', "restore the row") from error


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
