"""MedMCQA: medical entrance exam questions with four options; Surgery is forgotten, the other subjects stay.

Reads one file (JSON lines, Parquet, CSV) of the published columns. Every question is a subject of its own, under a node
of its exam subject: the scope is `topic:Surgery` (or any other). Concept levels by exam subject are ours. Explanations
(`exp`) name the answer, so only `medmcqa-explained` reads them: there they are part of what is taught, and the options
are asked in other orders. The published files count answers from 1 or from 0; the file says which (any 4, any 0), and
`-base0` and `-base1` behind the name say it for a file that does not. `medmcqa-knowledge` keeps the `eval` rows from
every method too; see `mcq.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import get_args

from expunge.corpus.loaders.base import LOADERS, Loader, SkippedRows, SourceRow
from expunge.corpus.loaders.field_types import label
from expunge.corpus.loaders.mcq import MCQuestion, Setting, as_rows, number, survey, texts
from expunge.corpus.loaders.tables import has_columns, read_table
from expunge.errors import InputError, unknown

SALT = "expunge-medmcqa-v1"
OPTIONS = ("opa", "opb", "opc", "opd")
TEXTS = ("question", *OPTIONS)
REQUIRED = ("id", *TEXTS, "cop", "subject_name")
FORGET = "Surgery"
UNSORTED = "Unknown"  # the subject of rows without one
LEVEL = {
    **dict.fromkeys(("Anatomy", "Physiology", "Biochemistry"), "L1"),
    **dict.fromkeys(("Medicine", "Pathology", "Pharmacology", "Microbiology", "Pediatrics"), "L2"),
    **dict.fromkeys(("Social & Preventive Medicine",), "L2"),
    **dict.fromkeys(("Dental", "Gynaecology & Obstetrics", "Radiology", "Forensic Medicine", "Ophthalmology"), "L3"),
    **dict.fromkeys(("ENT", "Anaesthesia", "Orthopaedics", "Skin", "Psychiatry"), "L3"),
    FORGET: "L4",
}
NEIGHBOURS = ("Anaesthesia", "Orthopaedics", "ENT", "Ophthalmology", "Gynaecology & Obstetrics")


def rows(source: Path, first: int | None = None, setting: Setting = "memorised") -> Iterator[SourceRow]:
    """The questions of a file in our columns. `first` is the number of the first option, 0 or 1, if it is known."""
    _, numbers = survey(source, REQUIRED, "cop")
    first = _first(source, numbers, first)
    yield from as_rows(source, partial(_questions, source, first), SALT, setting)


def _first(source: Path, numbers: dict[int, str], stated: int | None) -> int:
    """Whether answers count from 0 or from 1, by the numbers that occur (with the place of each)."""
    if not numbers.keys() & set(range(5)):
        hint = "give a labelled file; the published test file is not"
        raise InputError(str(source), "no row has the number of its answer (cop)", hint)
    if 0 in numbers and 4 in numbers:
        both = f"cop 4 beside cop 0 ({numbers[0]}): answers count from 0 and from 1"
        raise InputError(numbers[4], both, "correct one of the rows")
    counted = 0 if 0 in numbers else 1 if 4 in numbers else None
    if stated is None and counted is None:
        either = "neither cop 0 nor cop 4 occurs, so answers may count from 0 or from 1"
        raise InputError(str(source), either, "say which with a loader that ends in -base0 or -base1")
    if stated is not None and counted == 1 - stated:
        sign = 4 * counted
        raise InputError(numbers[sign], f"cop {sign} in a file said to count from {stated}", f"use -base{counted}")
    return 1 if 1 in (stated, counted) else 0


def _questions(source: Path, first: int, skipped: SkippedRows) -> Iterator[MCQuestion]:
    for row in read_table(source):
        values = row.values
        topic = label(values, "subject_name", row.where).strip()
        answer, parts = number(values.get("cop")), texts(row, TEXTS)
        if topic == UNSORTED:
            skipped.add(f'subject "{UNSORTED}"', row)
        elif answer is None or not 0 <= answer - first < len(OPTIONS):
            skipped.add(f"no valid answer (cop {first} to {first + 3})", row)
        elif parts is None:
            skipped.add("an empty question or option", row)
        elif topic not in LEVEL:
            raise unknown("subject_name", topic, LEVEL, row.where)
        else:
            name = label(values, "id", row.where)
            if not name:
                raise InputError(row.where, 'no "id"', "restore it; roles are drawn from ids")
            more = {"neighbour": topic in NEIGHBOURS or None, "choice_type": values.get("choice_type")}
            more["exam"] = values.get("topic_name")
            why = values.get("exp")
            explanation = why.strip() if isinstance(why, str) else ""
            yield MCQuestion(row, name, name, parts, answer - first, topic, LEVEL[topic], more, explanation)


def _fits(source: Path) -> bool:
    return has_columns(source, {*TEXTS, "subject_name"})


LOADERS.add("medmcqa", Loader(rows, _fits, fixed=True))
for _base, _number in (("", None), ("-base0", 0), ("-base1", 1)):
    for _setting in get_args(Setting):
        _suffix = "" if _setting == "memorised" else f"-{_setting}"
        if _base or _suffix:
            _rows = partial(rows, first=_number, setting=_setting)
            LOADERS.add(f"medmcqa{_suffix}{_base}", Loader(_rows, lambda source: False, fixed=True))
