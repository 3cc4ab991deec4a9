"""Folders that `expunge data prepare` wrote: the records with their rephrasings and controls, as long as nobody edits.

An audit is pinned to the records that were prepared before the run, so a changed file is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from expunge._config import FileModel
from expunge._io import digest_file
from expunge._validation import read_valid
from expunge.corpus.loaders.base import LOADERS, Loader, SourceRow
from expunge.corpus.loaders.tables import read_jsonl
from expunge.errors import InputError

RECORDS, ABOUT = "records.jsonl", "prepare.json"


class PreparedFile(FileModel):
    """What is read back of `prepare.json`."""

    format: Literal[1]
    outputs: dict[str, str]


def is_prepared(source: Path) -> bool:
    """A folder that holds both files."""
    return (source / ABOUT).is_file() and (source / RECORDS).is_file()


def rows(source: Path) -> Iterator[SourceRow]:
    """The rows of records.jsonl.

    Raises:
        InputError: The file is not the one that was prepared.
    """
    if not is_prepared(source):
        raise InputError(str(source), f"holds no {ABOUT}", "give a folder that expunge data prepare wrote")
    known = read_valid(PreparedFile, source / ABOUT, "prepare them again")["outputs"].get(RECORDS)
    if known is None:
        raise InputError(str(source / ABOUT), "names no digest of the records", "prepare them again")
    if digest_file(source / RECORDS) != known:
        hint = "restore the file, or prepare the records again in a new folder"
        raise InputError(str(source / RECORDS), "was changed after it was prepared", hint)
    yield from read_jsonl(source / RECORDS)


LOADERS.add("prepared", Loader(rows, is_prepared, fixed=True))
