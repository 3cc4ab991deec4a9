"""Loaders: from files and folders to a checked corpus. One file per layout; `validate.py` checks all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from expunge.corpus.corpus import Corpus
from expunge.corpus.duplicates import PlaceList
from expunge.corpus.loaders import in_memory
from expunge.corpus.loaders.base import LOADERS, Loader, RowLayout, SkippedRows, SourceRow
from expunge.corpus.loaders.columns import READ_AS, Columns, read_mapping
from expunge.corpus.loaders.identifier_check import IdentifierCheck
from expunge.corpus.loaders.text_format import Reading, TextFormat
from expunge.corpus.loaders.validate import SubjectRegistry, validated_records
from expunge.errors import InputError, nearest_few, unknown

__all__ = ["LOADERS", "LoadedSource", "Loader", "RowLayout", "SourceRow", "TextFormat", "load_corpus", "load_source"]

SPREADSHEETS = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers")


@dataclass(frozen=True)
class LoadedSource:
    """A corpus with how it was read.

    Attributes:
        loader: Name of the layout; `reason` says why it was taken.
        fixed: The layout has columns of its own; `columns` then are the fields that its loader makes.
        places: The place of each record.
        subjects: Where subjects come from.
        formats: Delimiter and encoding of each text file that could have had another one.
    """

    corpus: Corpus
    loader: str
    reason: str
    fixed: bool
    columns: Columns
    places: PlaceList
    subjects: SubjectRegistry
    formats: Mapping[str, TextFormat]


def load_corpus(
    source: Path | str | Iterable[Any],
    loader: str | None = None,
    mapping: Path | str | Mapping[str, str] | None = None,
    text_format: TextFormat | None = None,
) -> Corpus:
    """Read a file or folder completely, or rows that are in memory.

    Args:
        source: A path; or a pandas data frame, a `datasets.Dataset`, a list of dictionaries.
        loader: Name of the layout; by default found from the file name and the first row.
        mapping: {our field: their column}, or a YAML file that holds it; it may also name `delimiter` and `encoding`.
        text_format: Delimiter and encoding of CSV and text files, where they should not be detected.

    Raises:
        InputError: At the first bad row, as `file:line: what; hint`.
    """
    return load_source(source, loader, mapping, text_format).corpus


def load_source(
    source: Path | str | Iterable[Any],
    loader: str | None = None,
    mapping: Path | str | Mapping[str, str] | None = None,
    text_format: TextFormat | None = None,
) -> LoadedSource:
    """As `load_corpus`, with what `expunge data check` reports beside the corpus."""
    mapped = read_mapping(mapping)
    given, form = TextFormat.of(*(mapped.pop(key, None) for key in READ_AS)), text_format or TextFormat()
    reading = Reading(TextFormat(form.delimiter or given.delimiter, form.encoding or given.encoding))
    columns = Columns(mapped)
    path = Path(source) if isinstance(source, (str, Path)) else None
    where = type(source).__name__ if path is None else str(path)
    name = where if path is None else path.name if path.is_dir() else path.stem
    item = LOADERS.get(loader, where) if loader else None
    if path is None:
        label, reason = loader or "rows", "a layout of the columns" if item else f"rows of a {where}"
        if item and item.layout is None:
            raise InputError(where, f'the loader "{loader}" reads files', "give a path, or no loader")
        rows: Iterable[SourceRow] = in_memory.rows(source)
    else:
        label, reason, item = _for_path(path, loader, item)
        rows = _rows(item, path, reading)
    fixed = bool(item and item.fixed)
    if fixed and columns.mapping:
        raise InputError(where, "this layout has fixed columns", "leave the mapping out")
    if not fixed and (item is None or item.layout is None):
        rows, layout_name = _row_layout(rows, columns, loader)
        if layout_name:
            label, reason, item = (
                layout_name,
                f"the columns of its first row; read as {label}",
                LOADERS.get(layout_name),
            )
            rows = _expand(rows, item.layout, reading.turns)
    elif path is None and item and item.layout:
        rows = _expand(rows, item.layout, reading.turns)
    places, subjects, names = PlaceList(), SubjectRegistry(), IdentifierCheck()
    corpus = Corpus.of(validated_records(rows, columns, places, subjects, names), name, places)
    columns.finish(where)
    reading.warn(where)
    names.warn(where)
    corpus = Corpus(subjects.fill(corpus.records), corpus.name)
    own = fixed or bool(item and item.layout)
    return LoadedSource(corpus, label, reason, own, columns, places, subjects, reading.formats)


def _for_path(path: Path, loader: str | None, item: Loader | None) -> tuple[str, str, Loader]:
    """Name of the loader, why it was taken, and the loader."""
    if not path.exists():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise InputError(str(path), "there is no such file or folder", nearest_few(path.name, beside) if beside else "")
    if path.suffix.lower() in SPREADSHEETS and path.is_file():
        raise InputError(str(path), "is a spreadsheet", "save it as CSV and give that file")
    if item:
        return loader or "", "as requested", item
    name, item = _detect(path)
    by = "the files in it" if path.is_dir() else f"the file ending of {path.name}"
    return name, "the layout of its files and columns" if item.fixed else by, item


def _rows(item: Loader, path: Path, reading: Reading) -> Iterable[SourceRow]:
    if item.takes_reading:
        return item.rows(path, reading)
    if reading.request != TextFormat():
        raise InputError(str(path), "this layout has a fixed text format", "leave delimiter and encoding out")
    return item.rows(path)


def _row_layout(
    rows: Iterable[SourceRow], columns: Columns, loader: str | None
) -> tuple[Iterable[SourceRow], str | None]:
    """The rows, and the row layout that the first of them has, unless a loader is named or the mapping says more."""
    if loader:
        return rows, None
    ahead = iter(rows)
    first = list(islice(ahead, 1))
    mapped = set(columns.mapping.values())
    names = [
        name
        for name, item in LOADERS
        if first and item.layout and item.layout.fits(first[0].values) and not item.layout.columns & mapped
    ]
    return chain(first, ahead), names[0] if names else None


def _expand(rows: Iterable[SourceRow], layout: RowLayout | None, skipped: SkippedRows) -> Iterator[SourceRow]:
    for row in rows:
        if layout is None:
            yield row
        else:
            yield from layout.rows(row, skipped)


def _detect(path: Path) -> tuple[str, Loader]:
    """The loader whose layout this is; special layouts come before the generic ones."""
    fitting = sorted(
        ((not item.fixed, name, item) for name, item in LOADERS if item.layout is None and item.fits(path)),
        key=lambda triple: triple[:2],
    )
    if not fitting:
        if path.is_dir():
            hint = "give a file inside it, or name a loader: " + ", ".join(LOADERS.names())
            raise InputError(str(path), "is a folder without forget and retain files", hint)
        suffixes = [suffix for _, item in LOADERS for suffix in item.suffixes]
        raise unknown("file ending", path.suffix, suffixes, str(path))
    (generic, name, item), *others = fitting
    if generic and others:
        hint = "keep one, or name a loader"
        raise InputError(str(path), f"holds sets in several formats ({name}, {others[0][1]})", hint)
    return name, item
