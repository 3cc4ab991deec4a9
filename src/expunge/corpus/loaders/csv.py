"""CSV: UTF-8 (byte-order mark tolerated), RFC 4180 quoting, a header; lists as JSON text, empty = missing."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from expunge.corpus.loaders.base import LOADERS, SourceRow
from expunge.corpus.loaders.field_types import MAX_TEXT
from expunge.corpus.loaders.text_source import generic_loader, lines
from expunge.errors import InputError

SUFFIXES = (".csv",)


def read(file: Path) -> Iterator[SourceRow]:
    """The rows of one file. A row may span lines; `where` names its first line."""
    csv.field_size_limit(max(csv.field_size_limit(), MAX_TEXT))
    reader = csv.reader((text for _, text in lines(file)), strict=True)
    header: list[str] = []
    start = 1
    try:
        for cells in reader:
            where, start = f"{file}:{start}", reader.line_num + 1
            if not cells:
                continue
            if not header:
                header = _header(cells, where)
                continue
            if len(cells) != len(header):
                what = f"has {len(cells)} fields, the header has {len(header)}"
                raise InputError(where, what, "quote fields that hold a comma, a quote or a line end")
            values = {name: cell for name, cell in zip(header, cells, strict=True) if cell}
            yield SourceRow(where, values, file.parent)
    except csv.Error as error:
        hint = "use RFC 4180 quoting: fields in double quotes, a quote inside doubled"
        raise InputError(f"{file}:{start}", f"not valid CSV ({error})", hint) from error


def _header(cells: list[str], where: str) -> list[str]:
    names = [cell.strip() for cell in cells]
    for name in names:
        if not name or names.count(name) > 1:
            raise InputError(where, f'column name "{name}" is empty or occurs twice', "give every column its own name")
    return names


LOADERS.add("csv", generic_loader(read, SUFFIXES))
