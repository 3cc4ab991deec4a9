"""JSON lines: one object per line, blank lines ignored. A `.json` file is read in the same way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from expunge.corpus.loaders.base import LOADERS, Loader, SourceRow
from expunge.corpus.loaders.text_source import by_set, lines, set_files
from expunge.errors import InputError

SUFFIXES = (".jsonl", ".ndjson", ".json")


def read(file: Path) -> Iterator[SourceRow]:
    """The rows of one file; `InputError` names the first line that is not a JSON object."""
    for number, line in lines(file):
        if not line.strip():
            continue
        where = f"{file}:{number}"
        try:
            value = json.loads(line, parse_constant=_no_constant)
        except json.JSONDecodeError as error:
            raise InputError(
                where, f"not valid JSON ({error.msg}, column {error.colno})", "write one complete object per line"
            ) from error
        except (ValueError, RecursionError) as error:
            raise InputError(
                where, f"not usable JSON ({error})", "write plain numbers, texts and short lists"
            ) from error
        if not isinstance(value, dict):
            raise InputError(
                where,
                f"a JSON object was expected, found {type(value).__name__}",
                'write one object per line, for example {"prompt": "…", "answer": "…"}',
            )
        yield SourceRow(where, value, file.parent)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _fits(source: Path) -> bool:
    return bool(set_files(source, SUFFIXES)) if source.is_dir() else source.suffix.lower() in SUFFIXES


LOADERS.add("jsonl", Loader(by_set(read, SUFFIXES), _fits, SUFFIXES))
