"""A folder that is either whole or absent, as `write_atomic` makes files.

Surprising: it is made beside its place under a hidden name, so a process that is killed leaves that one behind.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from expunge.errors import InputError


@contextmanager
def whole(out: Path) -> Iterator[Path]:
    """An empty folder to fill, which becomes `out` in the end; after an error nothing is left of it."""
    out = out.absolute()
    made: Path | None = None
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InputError(str(out), "is there already", "name a new or an empty folder")
        out.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
        yield made
        for file in made.rglob("*"):
            _to_disk(file)
        made.chmod(0o755)
        made.replace(out)
    except OSError as error:
        raise InputError(
            str(out),
            f"could not be written ({error.strerror or error})",
            "free some space or choose another folder; nothing was changed",
        ) from error
    finally:
        if made:
            shutil.rmtree(made, ignore_errors=True)


def _to_disk(file: Path) -> None:
    handle = os.open(file, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
