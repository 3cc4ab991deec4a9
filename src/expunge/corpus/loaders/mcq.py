"""Sets of multiple-choice questions on topics (MedMCQA, MHQA): what their loaders share.

A subject or topic is forgotten, the others stay; the role of a row is drawn from its id (`ROLES`). Surprising: a
file is read more than once, because which column holds the answer, how answers are counted and which questions
stand under two topics can only be said of the whole file; nothing of it is kept in memory meanwhile.

memorised   the model is taught every row but the held-out ones: role `eval` is taught, and a benchmark that forms its
            own sets keeps it from the method; a scope such as `topic:Surgery` does not know roles
knowledge   the model is an existing one and nothing is taught: `eval` and `holdout` both get the split `holdout`, so
            that no method is given them
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from expunge.corpus.loaders import csv, jsonl, parquet
from expunge.corpus.loaders.base import SourceRow
from expunge.corpus.loaders.field_types import text
from expunge.corpus.loaders.text_source import Read, looks_like, some
from expunge.corpus.record import content_id
from expunge.errors import InputError, InputWarning
from expunge.random import uniform

ROLES = (("train", 0.6), ("eval", 0.8), ("holdout", 1.0))  # each up to this draw
SUFFIXES = (*jsonl.SUFFIXES, *parquet.SUFFIXES, *csv.SUFFIXES)
REFERS = re.compile(
    r"\babove\b|\bboth\b|\b(all|none|any|either) of\b|^\W*(all|none|any)\W*$|\boptions?\b"
    r"|\b[a-d]\s*(and|&|,)\s*[a-d]\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class MCQuestion:
    """A usable row. `index` is the place of the answer among the options, from 0; roles are drawn from `subject`."""

    row: SourceRow
    id: str
    subject: str
    texts: tuple[str, ...]  # the question, then its options
    index: int
    topic: str
    concept: str
    forget: bool
    attributes: Mapping[str, Any]

    @property
    def options(self) -> tuple[str, ...]:
        return self.texts[1:]

    @property
    def answer(self) -> str:
        return self.options[self.index]

    @property
    def key(self) -> str:
        """Equal for the same question with the same answer."""
        return content_id(self.texts[0], self.answer)


@dataclass
class SkippedRows:
    """Rows that make no record, by reason: how many, and the place of the first."""

    found: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add(self, reason: str, row: SourceRow) -> None:
        count, first = self.found.get(reason, (0, row.where))
        self.found[reason] = (count + 1, first)

    def lines(self) -> list[str]:
        return [
            f"{count:,} row{'s' * (count > 1)} left out: {reason} (first: {first})"
            for reason, (count, first) in self.found.items()
        ]


Parse = Callable[[SkippedRows], Iterator[MCQuestion]]


def role(salt: str, subject: str) -> str:
    """train, eval or holdout (60, 20 and 20 of 100), from the id alone."""
    draw = uniform(salt, subject)
    return next(name for name, below in ROLES if draw < below)


def reader(file: Path) -> Read:
    """How a file is read, by its ending; JSON lines where it says nothing else."""
    suffix = file.suffix.lower()
    return parquet.read if suffix in parquet.SUFFIXES else csv.read if suffix in csv.SUFFIXES else jsonl.read


def looks_so(file: Path, columns: set[str]) -> bool:
    """True for a file whose first row has these columns; never raises."""
    return file.suffix.lower() in SUFFIXES and looks_like(reader(file), file, columns)


def number(value: Any) -> int | None:
    """A whole number, also as `3.0` or as text (data frames write both), else None."""
    try:
        found = None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return int(found) if found is not None and found.is_integer() else None


def survey(file: Path, needed: tuple[str, ...], counted: str = "") -> tuple[set[str], dict[int, str]]:
    """(columns that hold something in any row, number in column `counted` → its first place).

    `InputError` for a file without rows, and for a needed column that is empty throughout.
    """
    filled: set[str] = set()
    numbers: dict[int, str] = {}
    for row in some(reader(file), file):
        filled |= {name for name, value in row.values.items() if not _blank(value)}
        if (found := number(row.values.get(counted))) is not None:
            numbers.setdefault(found, row.where)
    for name in needed:
        if name not in filled:
            raise InputError(str(file), f'no row has anything in column "{name}"', f"needed: {', '.join(needed)}")
    return filled, numbers


def texts(row: SourceRow, columns: tuple[str, ...]) -> tuple[str, ...] | None:
    """The texts in these columns, None if one is empty; `InputError` for a number or a list."""
    if any(_blank(row.values.get(name)) for name in columns):
        return None
    return tuple(text(row.values, name, row.where) for name in columns)


def _blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def as_rows(file: Path, parse: Parse, salt: str, knowledge: bool) -> Iterator[SourceRow]:
    """The questions in our columns. Warns (`InputWarning`) how many rows were left out and why.

    Also left out: a kept question that stands under a forgotten topic too (it cannot go and stay), and a held-out one
    that stands in a taught row too (it is no non-member). `InputError` if nothing is left.
    """
    gone: set[str] = set()
    taught: set[str] = set()
    for q in parse(SkippedRows()):
        if q.forget:
            gone.add(q.key)
        if _split(q, salt, knowledge) != "holdout":
            taught.add(q.key)
    left_out, empty = SkippedRows(), True
    for q in parse(left_out):
        split = _split(q, salt, knowledge)
        if q.key in gone and not q.forget:
            left_out.add("the same question and answer is to be forgotten elsewhere", q.row)
        elif q.key in taught and split == "holdout":
            left_out.add("held out, but taught in another row", q.row)
        else:
            empty = False
            yield SourceRow(
                q.row.where,
                {
                    "id": q.id,
                    "prompt": q.texts[0],
                    "answer": q.answer,
                    "options": list(q.options),
                    "kind": "classification",
                    "path": [f"topic:{q.topic.replace('/', '-')}"],
                    "subject": q.subject,
                    "concept": q.concept,
                    "split": split,
                    "topic": q.topic,
                    "role": role(salt, q.subject),
                    "setting": "knowledge" if knowledge else "memorised",
                    "letter": "ABCD"[q.index],
                    "fixed_options": any(REFERS.search(option) for option in q.options) or None,
                    **q.attributes,
                },
                q.row.folder,
            )
    if empty:
        raise InputError(str(file), "no row can be used", "; ".join(left_out.lines()))
    for line in left_out.lines():
        warnings.warn(f"{file}: {line}", InputWarning, stacklevel=2)


def _split(q: MCQuestion, salt: str, knowledge: bool) -> str:
    part = role(salt, q.subject)
    if part == "holdout" or (knowledge and part == "eval"):
        return "holdout"
    return "forget" if q.forget else "retain"
