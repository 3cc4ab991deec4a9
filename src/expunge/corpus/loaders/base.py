"""What a loader is: something that turns a file or folder into rows, and knows which sources it can read.

Surprising: a loader never makes records. It yields `Row`s and `validate.py` alone turns rows into records,
so every format meets the same checks and every error names a place in a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge._registry import Registry

LOADERS: Registry[Loader] = Registry("loader", "expunge.corpus.loaders")


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row as it stands in the source.

    where   `file:line` (Parquet: `file:row`), counted from 1
    values  column → value; a missing value is absent or None
    folder  the folder that relative image paths start from
    """

    where: str
    values: Mapping[str, Any]
    folder: Path


@dataclass(frozen=True)
class Loader:
    """A named layout.

    rows      reads a source, lazily; raises `InputError` at the first bad place
    fits      true if this source has the layout, by its name and at most its first row; never raises
    suffixes  file endings that lead here when nothing more special fits (generic loaders only)
    fixed     the layout has its own columns, so a column mapping makes no sense
    """

    rows: Callable[[Path], Iterable[SourceRow]]
    fits: Callable[[Path], bool]
    suffixes: tuple[str, ...] = ()
    fixed: bool = False
