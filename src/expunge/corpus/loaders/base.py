"""A loader turns a file or folder into rows.

A loader never makes records: it yields `SourceRow`s, and `validate.py` alone turns them into records, so every format
meets the same checks and every error names a place in a file.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from expunge._registry import Registry
from expunge._summary import short_repr
from expunge.errors import InputWarning

LOADERS: Registry[Loader] = Registry("loader", "expunge.corpus.loaders")


@short_repr("where", "values")
@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row as it stands in the source.

    Attributes:
        where: `file:line` (Parquet: `file:row`), counted from 1.
        values: Column -> value; a missing value is absent or None.
        folder: Start of relative image paths.
    """

    where: str
    values: Mapping[str, Any]
    folder: Path

    def with_values(self, values: Mapping[str, Any]) -> SourceRow:
        """Other values from the same place."""
        return replace(self, values=values)


@dataclass
class SkippedRows:
    """Rows (or other parts of a source) that make no record, by reason: how many, and the place of the first."""

    noun: str = "row"
    reasons: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add(self, reason: str, row: SourceRow) -> None:
        count, first = self.reasons.get(reason, (0, row.where))
        self.reasons[reason] = (count + 1, first)

    def lines(self) -> list[str]:
        return [
            f"{count:,} {self.noun}{'s' * (count > 1)} left out: {reason} (first: {first})"
            for reason, (count, first) in self.reasons.items()
        ]

    def warn(self, source: Path | str) -> None:
        """One `InputWarning` for each reason."""
        for line in self.lines():
            warnings.warn(f"{source}: {line}", InputWarning, stacklevel=3)


@dataclass(frozen=True)
class RowLayout:
    """A layout in the columns of single rows, whatever file or object they come from.

    Attributes:
        fits: True if the values of a first row have this layout.
        rows: The rows in our columns that a row becomes; turns that make none go into the second argument.
        columns: Columns that it reads. A mapping of one of them means that the user wants no layout.
    """

    fits: Callable[[Mapping[str, Any]], bool]
    rows: Callable[[SourceRow, SkippedRows], Iterator[SourceRow]]
    columns: frozenset[str]


@dataclass(frozen=True)
class Loader:
    """A named layout.

    Attributes:
        rows: Reads a source, lazily; raises `InputError` at the first bad place. Takes a `Reading` as second argument
            if `takes_reading`.
        fits: True if a source has this layout, by its name and at most its first row; never raises.
        suffixes: File endings of a generic loader, which is taken where nothing more special fits.
        fixed: The layout has its own columns, so a column mapping makes no sense.
        layout: Layout of its single rows, if that is all that makes it special.
        takes_reading: Delimiter and encoding can be chosen.
    """

    rows: Callable[..., Iterable[SourceRow]]
    fits: Callable[[Path], bool]
    suffixes: tuple[str, ...] = ()
    fixed: bool = False
    layout: RowLayout | None = None
    takes_reading: bool = False
