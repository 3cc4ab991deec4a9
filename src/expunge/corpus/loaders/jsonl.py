"""JSON lines: one object per line, blank lines ignored. A `.json` file is read in the same way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from expunge.corpus.loaders.base import LOADERS, SourceRow
from expunge.corpus.loaders.text_source import generic_loader, lines
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
            what = f"not valid JSON ({error.msg}, column {error.colno})"
            raise InputError(where, what, "write one complete object per line") from error
        except (ValueError, RecursionError) as error:
            hint = "write plain numbers, texts and short lists"
            raise InputError(where, f"not usable JSON ({error})", hint) from error
        if not isinstance(value, dict):
            hint = 'write one object per line, for example {"prompt": "…", "answer": "…"}'
            raise InputError(where, f"a JSON object was expected, found {type(value).__name__}", hint)
        yield SourceRow(where, value, file.parent)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


LOADERS.add("jsonl", generic_loader(read, SUFFIXES))
