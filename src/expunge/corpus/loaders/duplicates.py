"""What a load remembers of the rows before, so that a row can be refused for what an earlier one says.

Surprising: it keeps numbers, not texts, wherever it can; for a million rows the places alone would fill 150 MB.
"""

from __future__ import annotations

from array import array
from bisect import bisect
from collections.abc import Sequence
from dataclasses import replace

from expunge.corpus.record import DEFAULT_TREE_LEVELS, Record
from expunge.corpus.record_store import materialize
from expunge.errors import InputError

PERSON_LEVEL = DEFAULT_TREE_LEVELS[1]
SIDES = {"forget": "retain", "retain": "forget"}


class PlaceList:
    """A list of `file:line`, in a few bytes each."""

    def __init__(self) -> None:
        self._lines = array("q")
        self._starts: list[int] = []
        self._files: list[str] = []

    def append(self, where: str) -> None:
        file, _, line = where.rpartition(":")
        number = int(line) if line.isdecimal() else -1
        name = file if number >= 0 else where
        if not self._files or self._files[-1] != name:
            self._starts.append(len(self._lines))
            self._files.append(name)
        self._lines.append(number)

    def __getitem__(self, k: int) -> str:
        file, line = self._files[bisect(self._starts, k) - 1], self._lines[k]
        return f"{file}:{line}" if line >= 0 else file


class IdRegistry:
    """Refuses ids that come twice, and the same question on both sides of a split."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._sides: dict[str, dict[str, int]] = {name: {} for name in SIDES}
        self._places = PlaceList()

    def check(self, record: Record, key: str, where: str) -> None:
        """`InputError` if an earlier row has the same id, or the same `key` in the other of forget and retain."""
        number = len(self._ids)
        if record.split in SIDES:
            other = SIDES[record.split]
            if (first := self._sides[other].get(key)) is not None:
                raise InputError(
                    where,
                    f"same prompt and answer in {other} ({self._places[first]}) and {record.split}",
                    "keep the row in one of them",
                )
            self._sides[record.split].setdefault(key, number)
        if (first := self._ids.setdefault(record.id, number)) != number:
            raise InputError(
                where,
                f'duplicate id "{record.id}", first used at {self._places[first]}',
                "make ids unique; rows without id must differ in prompt, answer or image",
            )
        self._places.append(where)


class SubjectRegistry:
    """Fills empty subjects: the patient node (its full path where two patients share a name), else the id."""

    def __init__(self) -> None:
        self._places: dict[str, tuple[str, ...]] = {}
        self._shared: set[str] = set()
        self._missing = False

    def see(self, record: Record) -> None:
        self._missing = self._missing or not record.subject
        if (person := _person(record.path)) and self._places.setdefault(person[-1], person) != person:
            self._shared.add(person[-1])

    def fill(self, found: Sequence[Record]) -> Sequence[Record]:
        """`found`, all of which have been seen, with a subject each."""
        if not self._missing:
            return found
        return materialize(r if r.subject else replace(r, subject=self._subject(r)) for r in found)

    def _subject(self, record: Record) -> str:
        person = _person(record.path)
        return record.id if not person else "/".join(person) if person[-1] in self._shared else person[-1]


def _person(path: tuple[str, ...]) -> tuple[str, ...]:
    """The part of a path down to its patient node, or ()."""
    return next((path[:k] for k, node in enumerate(path, 1) if node.startswith(f"{PERSON_LEVEL}:")), ())
