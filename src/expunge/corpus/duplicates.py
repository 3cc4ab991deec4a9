"""Refuses ids that occur twice, and the same question and answer on both sides of a split, in any case and spacing."""

from __future__ import annotations

from array import array
from bisect import bisect
from collections import Counter

from expunge.corpus.record import Record
from expunge.corpus.text_folding import content_key
from expunge.errors import InputError

OTHER_SIDE = {"forget": "retain", "retain": "forget"}


class PlaceList:
    """A list of places, each `file:line`, in a few bytes each: a million of them as texts would take 150 MB."""

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

    def files(self) -> dict[str, int]:
        """File -> places in it."""
        counts: Counter[str] = Counter()
        for file, start, end in zip(self._files, self._starts, [*self._starts[1:], len(self._lines)], strict=True):
            counts[file] += end - start
        return dict(counts)


class DuplicateCheck:
    """Checks records one by one. `places` grows with them and names the place of each, where there are files."""

    def __init__(self, name: str, places: PlaceList | None = None) -> None:
        self._name, self._places = name, places
        self._ids: dict[str, int] = {}
        self._sides: dict[str, dict[str, int]] = {side: {} for side in OTHER_SIDE}

    def __call__(self, record: Record) -> Record:
        """The record itself; `InputError` for a known id, or a question that also stands on the other side."""
        number = len(self._ids)
        if not isinstance(record, Record):
            raise InputError(self._name, f"holds a {type(record).__name__}, not a Record", "read rows with load_corpus")
        if record.split in OTHER_SIDE:
            other = OTHER_SIDE[record.split]
            key = content_key(record)
            if (first := self._sides[other].get(key)) is not None:
                place = f" ({self._places[first]})" if self._places else ""
                what = f"same prompt and answer in {other}{place} and {record.split}"
                raise InputError(self._where(number), what, "keep the row in one of them")
            self._sides[record.split].setdefault(key, number)
        if (first := self._ids.setdefault(record.id, number)) != number:
            place = f", first used at {self._places[first]}" if self._places else ""
            hint = "make ids unique; rows without id must differ in prompt, answer or image"
            raise InputError(self._where(number), f'duplicate id "{record.id}"{place}', hint)
        return record

    def _where(self, number: int) -> str:
        return self._places[number] if self._places else self._name
