"""MedMCQA: medical entrance exam questions with four options; Surgery is forgotten, the other subjects stay.

Reads one file (newline-delimited JSON, Parquet, CSV) of the published columns. Every question is a subject of its own,
under a node of its exam subject: the scope is `topic:Surgery` (or any other). Concept levels by exam subject are ours.
Explanations (`exp`) are never read, because they name the answer. Surprising: the published files count answers from
1 or from 0; the file says which (any 4, any 0), and `medmcqa-base0` and `medmcqa-base1` say it for a file that does
not. `medmcqa-knowledge` (`-base0`, `-base1`) keeps the `eval` rows from every method too; see `questions.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from expunge.corpus.loaders.base import LOADERS, Loader, SourceRow
from expunge.corpus.loaders.field_types import label
from expunge.corpus.loaders.mcq import MCQuestion, SkippedRows, as_rows, looks_so, number, reader, survey, texts
from expunge.errors import InputError, unknown

SALT = "expunge-medmcqa-v1"
OPTIONS = ("opa", "opb", "opc", "opd")
TEXTS = ("question", *OPTIONS)
NEEDED = ("id", *TEXTS, "cop", "subject_name")
FORGET = "Surgery"
NOWHERE = "Unknown"  # the subject of rows that nobody sorted
LEVELS = {
    "L1": ("Anatomy", "Physiology", "Biochemistry"),
    "L2": ("Medicine", "Pathology", "Pharmacology", "Microbiology", "Pediatrics", "Social & Preventive Medicine"),
    "L3": (
        "Dental",
        "Gynaecology & Obstetrics",
        "Radiology",
        "Forensic Medicine",
        "Ophthalmology",
        "ENT",
        "Anaesthesia",
        "Orthopaedics",
        "Skin",
        "Psychiatry",
    ),
    "L4": (FORGET,),
}
LEVEL = {subject: level for level, subjects in LEVELS.items() for subject in subjects}
NEIGHBOURS = ("Anaesthesia", "Orthopaedics", "ENT", "Ophthalmology", "Gynaecology & Obstetrics")


def rows(source: Path, first: int | None = None, knowledge: bool = False) -> Iterator[SourceRow]:
    """The questions of a file in our columns. `first` is the number of the first option, 0 or 1, if it is known."""
    _, numbers = survey(source, NEEDED, "cop")
    first = _first(source, numbers, first)
    yield from as_rows(source, partial(_questions, source, first), SALT, knowledge)


def _first(source: Path, numbers: dict[int, str], said: int | None) -> int:
    """Whether answers count from 0 or from 1, by the numbers that occur (with the place of each)."""
    if not numbers.keys() & set(range(5)):
        raise InputError(
            str(source),
            "no row has the number of its answer (cop)",
            "give a labelled file; the published test file is not",
        )
    if 0 in numbers and 4 in numbers:
        raise InputError(
            numbers[4], f"cop 4 beside cop 0 ({numbers[0]}): answers count from 0 and from 1", "correct one of the rows"
        )
    shown = 0 if 0 in numbers else 1 if 4 in numbers else None
    if said is None and shown is None:
        raise InputError(
            str(source),
            "neither cop 0 nor cop 4 occurs, so answers may count from 0 or from 1",
            "say which with a loader that ends in -base0 or -base1",
        )
    if said is not None and shown == 1 - said:
        sign = 4 * shown
        raise InputError(numbers[sign], f"cop {sign} in a file said to count from {said}", f"use -base{shown}")
    return 1 if 1 in (said, shown) else 0


def _questions(source: Path, first: int, left_out: SkippedRows) -> Iterator[MCQuestion]:
    for row in reader(source)(source):
        values = row.values
        subject = label(values, "subject_name", row.where).strip()
        answer, said = number(values.get("cop")), texts(row, TEXTS)
        if subject == NOWHERE:
            left_out.add(f'subject "{NOWHERE}"', row)
        elif answer is None or not 0 <= answer - first < len(OPTIONS):
            left_out.add(f"no valid answer (cop {first} to {first + 3})", row)
        elif said is None:
            left_out.add("an empty question or option", row)
        elif subject not in LEVEL:
            raise unknown("subject_name", subject, LEVEL, row.where)
        else:
            name = label(values, "id", row.where)
            if not name:
                raise InputError(row.where, 'no "id"', "restore it; roles are drawn from ids")
            yield MCQuestion(
                row,
                name,
                name,
                said,
                answer - first,
                subject,
                LEVEL[subject],
                subject == FORGET,
                {
                    "neighbour": subject in NEIGHBOURS or None,
                    "choice_type": values.get("choice_type"),
                    "exam": values.get("topic_name"),
                },
            )


def _fits(source: Path) -> bool:
    return looks_so(source, {*TEXTS, "subject_name"})


LOADERS.add("medmcqa", Loader(rows, _fits, fixed=True))
for _name, _first_option, _knowledge in (
    ("base0", 0, False),
    ("base1", 1, False),
    ("knowledge", None, True),
    ("knowledge-base0", 0, True),
    ("knowledge-base1", 1, True),
):
    LOADERS.add(
        f"medmcqa-{_name}",
        Loader(partial(rows, first=_first_option, knowledge=_knowledge), lambda source: False, fixed=True),
    )
