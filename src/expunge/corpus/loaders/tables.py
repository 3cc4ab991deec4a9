"""Tables by their file ending: CSV, Parquet, else JSON lines. For layouts that are published in several formats."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from expunge.corpus.loaders import csv, jsonl, parquet
from expunge.corpus.loaders.base import SourceRow
from expunge.corpus.loaders.text_source import Read, looks_like

READERS: dict[str, Read] = {
    **dict.fromkeys(jsonl.SUFFIXES, jsonl.read),
    **dict.fromkeys(parquet.SUFFIXES, parquet.read),
    **dict.fromkeys(csv.SUFFIXES, csv.read),
}


def read_table(file: Path) -> Iterable[SourceRow]:
    """The rows of a file."""
    return READERS.get(file.suffix.lower(), jsonl.read)(file)


def has_columns(file: Path, columns: set[str]) -> bool:
    """True for a file whose first row has these columns; never raises."""
    return file.suffix.lower() in READERS and looks_like(read_table, file, columns)
