"""One JSONL file of the records of several corpora and of probes, with their pictures beside it: what a run is given.

A picture has the name of its digest there, so that two corpora may call different pictures the same.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from expunge._io import digest_file, write_atomic
from expunge.corpus import Record

MERGED, PICTURES = "input.jsonl", "input-pictures"
COPIES = (MERGED, f".{MERGED}.*", PICTURES, f".{PICTURES}.*")  # with what a killed process left of them
Row = dict[str, Any]


def portable_row(record: Record) -> Row:
    """A record as a row that holds its picture: `image` is then `{"path": name, "bytes": base64}`.

    Raises:
        InputError: the picture is gone, or has changed since the corpus was loaded.
    """
    row = record.as_row()
    if record.image is None:
        return row
    return row | {"image": {"path": record.image.name, "bytes": base64.b64encode(record.image.data()).decode()}}


def place_record(record: Record, folder: Path) -> Row:
    """A record as a row of the file in a folder, with its picture put there.

    Raises:
        InputError: the picture is gone, or has changed since the corpus was loaded.
    """
    row = record.as_row()
    if record.image is None:
        return row
    source = record.image.source if isinstance(record.image.source, Path) else None
    return row | {"image": _place(folder, record.image.name, record.image.data(), source)}


def place_row(row: Row, folder: Path) -> Row:
    """As `place_record` for a row that `portable_row` made."""
    image = row.get("image")
    if not isinstance(image, dict):
        return row
    return row | {"image": _place(folder, image["path"], base64.b64decode(image["bytes"]), None)}


def write_merged(folder: Path, rows: Iterable[Row]) -> tuple[str, ...]:
    """Write the file; returns the options that name it to a command in the folder."""
    lines = (json.dumps(row, ensure_ascii=False) for row in rows)
    write_atomic(folder / MERGED, "".join(f"{line}\n" for line in lines), private=True)
    return ("--data", MERGED)


def _place(folder: Path, name: str, data: bytes, source: Path | None) -> str:
    """Put a picture into the folder, as a link to its file where that is possible; returns its relative path."""
    digest = hashlib.sha256(data).hexdigest()
    file = folder / PICTURES / f"{digest}{Path(name).suffix.lower()}"
    if file.is_file() and digest_file(file) == digest:
        return f"{PICTURES}/{file.name}"
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file.unlink(missing_ok=True)
    if source is not None:
        with suppress(OSError):  # another file system, or one without links
            os.link(source, file)
    if not (file.is_file() and digest_file(file) == digest):
        file.unlink(missing_ok=True)
        write_atomic(file, data, private=True)
    return f"{PICTURES}/{file.name}"
