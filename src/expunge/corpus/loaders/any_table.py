"""Reads a table or a folder of sets in whatever file format it is, for layouts of single rows."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from expunge.corpus.loaders import tables
from expunge.corpus.loaders.base import LOADERS, Loader, RowLayout, SourceRow
from expunge.corpus.loaders.text_format import Reading


def layout_loader(layout: RowLayout) -> Loader:
    """The loader of a row layout, for a user who names it. Detection looks at the first row of any table instead."""

    def fits(source: Path) -> bool:
        return False

    fits.__doc__ = sys.modules[layout.rows.__module__].__doc__
    return Loader(partial(_rows, layout), fits, layout=layout, takes_reading=True)


def _rows(layout: RowLayout, source: Path, reading: Reading | None = None) -> Iterator[SourceRow]:
    reading = reading or Reading()
    generic = [LOADERS.get(name) for name in tables.FORMATS]
    reader = next((item for item in generic if item.fits(source)), LOADERS.get("jsonl"))
    for row in reader.rows(source, reading):
        yield from layout.rows(row, reading.turns)
