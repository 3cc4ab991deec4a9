"""Dictionaries: names of concepts with their ids and levels, from any ontology, as tab-separated text.

A name may stand for several concepts and a concept may have several names; each pair is one entry. In a merged
dictionary a concept has the highest level that any source gives it, so a name without a type of its own (a MedQuAD
focus) gets its level from an ontology with the same concept id.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from expunge._io import write_atomic
from expunge._printable import pluralize
from expunge.corpus.record import LEVELS
from expunge.errors import InputError

COLUMNS = ("name", "concept", "level")


@dataclass(frozen=True, slots=True)
class DictionaryEntry:
    """One name of one concept: `appendectomy`, `UMLS:C0003611`, `L4`; level None where no rule fits."""

    name: str
    concept: str
    level: str | None = None


@dataclass(frozen=True)
class Dictionary:
    """Entries in a fixed order, without repetitions."""

    entries: tuple[DictionaryEntry, ...]

    @classmethod
    def of(cls, entries: Iterable[DictionaryEntry]) -> Dictionary:
        return cls(tuple(dict.fromkeys(entries)))

    def __iter__(self) -> Iterator[DictionaryEntry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __or__(self, other: Dictionary) -> Dictionary:
        return Dictionary.of((*self.entries, *other.entries))

    def save(self, path: Path) -> None:
        """Write tab-separated text with a header, atomically."""
        text = io.StringIO()
        writer = csv.writer(text, delimiter="\t", lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((e.name, e.concept, e.level or "") for e in self.entries)
        write_atomic(path, text.getvalue())

    @classmethod
    def load(cls, path: Path) -> Dictionary:
        """The entries of a file that `save` wrote; `InputError` names the first bad line."""
        if not path.is_file():
            raise InputError(
                str(path),
                "is a folder" if path.is_dir() else "there is no such dictionary",
                "make one with `expunge concepts build`",
            )
        try:
            rows = list(csv.reader(io.StringIO(path.read_text("utf-8-sig")), delimiter="\t"))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(str(path), f"could not be read ({error})", "give a UTF-8 text of tabs") from error
        if not rows or tuple(rows[0]) != COLUMNS:
            raise InputError(f"{path}:1", "is not the header of a dictionary", "expected " + ", ".join(COLUMNS))
        return cls.of(_entry(f"{path}:{number}", row) for number, row in enumerate(rows[1:], 2) if row)


def _entry(where: str, row: list[str]) -> DictionaryEntry:
    if len(row) != len(COLUMNS) or not row[0].strip() or not row[1].strip():
        raise InputError(
            where, f"has {pluralize(len(row), 'column')}, or an empty one", "expected " + ", ".join(COLUMNS)
        )
    name, concept, level = (cell.strip() for cell in row)
    if level and level not in LEVELS:
        raise InputError(where, f'"{level}" is no level', "expected L1, L2, L3, L4 or nothing")
    return DictionaryEntry(name, concept, level or None)


def normalize_name(text: str) -> str:
    """The form in which terms and values are compared: without case and runs of spaces."""
    return " ".join(text.split()).casefold()


def highest_level(levels: Iterable[str | None]) -> str | None:
    """The highest level (L4 above L1), None if there is none."""
    return max((level for level in levels if level), default=None)


def levels_of(entries: Iterable[DictionaryEntry]) -> dict[str, str]:
    """Concept id -> its highest level, for concepts with a level."""
    levels: dict[str, str] = {}
    for entry in entries:
        if level := highest_level((levels.get(entry.concept), entry.level)):
            levels[entry.concept] = level
    return levels


def merge(dictionaries: Iterable[Dictionary]) -> Dictionary:
    """All entries in order, without repetitions, each concept on its highest level."""
    entries = [entry for dictionary in dictionaries for entry in dictionary]
    levels = levels_of(entries)
    return Dictionary.of(DictionaryEntry(e.name, e.concept, levels.get(e.concept)) for e in entries)


def without_names_of(dictionary: Dictionary, others: Iterable[Dictionary]) -> Dictionary:
    """The entries whose name no other dictionary has, so that a rule's term keeps its id from an ontology."""
    names = {normalize_name(entry.name) for other in others for entry in other}
    return Dictionary.of(entry for entry in dictionary if normalize_name(entry.name) not in names)
