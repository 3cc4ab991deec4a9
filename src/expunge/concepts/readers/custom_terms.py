"""Tables of custom terms: CSV, TSV or JSON lines with a name, and optionally a concept id and a category.

A category is looked up among the values of all category columns and topics of the hierarchy, because a user's column
rarely has the name that the rule was written for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from expunge._printable import abbreviate, pluralize
from expunge.concepts.dictionary import Dictionary, DictionaryEntry, highest_level
from expunge.concepts.hierarchy import Hierarchy
from expunge.concepts.readers.tsv import check_unique, read_table
from expunge.corpus.loaders.tables import FORMATS, read_jsonl
from expunge.corpus.loaders.text_source import nonempty
from expunge.errors import InputError, nearest

TABS = (".tsv", ".tab")
READERS = {suffix: FORMATS[name][0] for name in ("csv", "jsonl") for suffix in FORMATS[name][1]}


def read_custom_terms(
    path: Path,
    hierarchy: Hierarchy | None = None,
    *,
    name: str = "name",
    concept: str | None = None,
    category: str | None = None,
) -> Dictionary:
    """One entry per row (per name, where JSON gives a list); `InputError` at the first bad row.

    Args:
        path: the table.
        hierarchy: gives the levels, by name or category.
        name: column of the names.
        concept: column of the ids; without one the id consists of the file's and the term's names, for example
            `terms:sanctions-screening`.
        category: column that decides the level.
    """
    entries: list[DictionaryEntry] = []
    places: dict[str, str] = {}
    for where, row in _rows(path):
        for column in filter(None, (name, concept, category)):
            if column not in row:
                raise InputError(
                    where, f'no value for "{column}"', f"name another column, or fill it in; {nearest(column, row)}"
                )
        names = _texts(row, name, where)
        ids = _texts(row, concept, where) if concept else (f"{_slug(path.stem)}:{_slug(names[0])}",)
        if len(ids) != 1:
            raise InputError(where, f'"{concept}" holds {pluralize(len(ids), "id")}', "give one id per row")
        level = None
        if hierarchy:
            values = _texts(row, category, where) if category else ()
            level = hierarchy.level_of_names(names) or highest_level(map(hierarchy.level_of_category, values))
        for text in names:
            check_unique(places, f"{text} = {ids[0]}", where)
            entries.append(DictionaryEntry(text, ids[0], level))
    return Dictionary.of(entries)


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    ending = path.suffix.lower()
    if ending in TABS:
        for where, cells in read_table(path, ()):
            yield where, {column: cell for column, cell in cells.items() if cell}
        return
    if not path.is_dir() and ending not in READERS:
        raise InputError(str(path), f'the ending "{ending}" is unknown', "give " + ", ".join((*TABS, *READERS)))
    for row in nonempty(READERS.get(ending, read_jsonl), path):
        yield row.where, row.values


def _texts(row: Mapping[str, Any], column: str, where: str) -> tuple[str, ...]:
    value = row[column]
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise InputError(where, f'"{column}" is {abbreviate(value)}', "give a text, or in JSON a list of texts")
    return tuple(dict.fromkeys(" ".join(text.split()) for text in texts))


def _slug(text: str) -> str:
    return re.sub(r"\W+", "-", text.casefold()).strip("-") or "term"
