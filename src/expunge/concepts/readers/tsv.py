"""Tab-separated tables with a header, duplicate keys, and ids of ontologies.

A cell may be quoted as spreadsheets do it. A quote inside a cell is an ordinary character, because names of substances
and measures contain them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from expunge._printable import pluralize
from expunge.corpus.loaders.text_source import lines
from expunge.errors import InputError, nearest

CUI = re.compile(r"C\d{7}")
SEMANTIC_TYPES: Mapping[str, str] = {  # prefix of ids of an ontology -> UMLS semantic type of its terms
    **dict.fromkeys(("MONDO", "DOID", "ORPHANET", "ORPHA"), "T047"),  # disease or syndrome
    "HP": "T033",  # finding
    **dict.fromkeys(("UBERON", "FMA"), "T023"),  # body part
    "CL": "T025",  # cell
    "CHEBI": "T103",  # chemical
    "MAXO": "T061",  # therapeutic or preventive procedure
}


def read_table(path: Path, columns: Sequence[str], comment: str | None = None) -> Iterator[tuple[str, dict[str, str]]]:
    """Rows of a table, without empty lines and those that begin with `comment`.

    Yields:
        (`file:line`, column -> cell)

    Raises:
        InputError: at the first bad line, or where one of `columns` is missing or empty.
    """
    header: list[str] = []
    empty = True
    for number, line in lines(path):
        where = f"{path}:{number}"
        text = line.rstrip("\r\n")
        if not text.strip() or (comment and text.startswith(comment)):
            continue
        cells = [_cell(cell) for cell in text.split("\t")]
        if not header:
            header = _header(cells, columns, where)
            continue
        if len(cells) != len(header):
            raise InputError(
                where,
                f"has {pluralize(len(cells), 'column')}, the header has {len(header)}",
                "separate the cells by one tab each",
            )
        row = dict(zip(header, cells, strict=True))
        for column in columns:
            if not row[column]:
                raise InputError(where, f'"{column}" is empty', "fill it in, or remove the row")
        empty = False
        yield where, row
    if empty:
        raise InputError(str(path), "holds no rows", "give a header and at least one row below it")


def _header(cells: list[str], columns: Sequence[str], where: str) -> list[str]:
    for column in columns:
        if column not in cells:
            raise InputError(where, f'no column "{column}"', f"separate by tabs; {nearest(column, cells)}")
    if twice := next((cell for cell in cells if cells.count(cell) > 1), None):
        raise InputError(where, f'the column "{twice}" stands twice', "give every column its own name")
    return cells


def _cell(text: str) -> str:
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].replace('""', '"')
    return text


def check_unique(places: dict[str, str], key: str, where: str) -> None:
    """Add `key` to `places`; `InputError` with the first place if it is repeated."""
    if key in places:
        raise InputError(where, f'"{key}" stands twice', f"first at {places[key]}; remove one of them")
    places[key] = where


def require_cui(text: str, where: str) -> str:
    """The text, if it is a UMLS concept id; else `InputError`."""
    if not CUI.fullmatch(text):
        raise InputError(where, f'"{text}" is no UMLS concept id', "expected C and seven digits, for example C0003615")
    return text


def types_of(identifier: str) -> tuple[str, ...]:
    """The semantic type of an id such as `MONDO:0000004`, or nothing."""
    semantic_type = SEMANTIC_TYPES.get(identifier.partition(":")[0].upper())
    return (semantic_type,) if semantic_type else ()
