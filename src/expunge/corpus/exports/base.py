"""What an export is, and the folder that it fills: whole in the end, or absent."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from expunge._io import allowed_mode
from expunge._registry import Registry
from expunge.corpus.corpus import Corpus
from expunge.errors import InputError


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """`sets`: set -> records in it (a record may stand in several). `left_out`: records that stand in none."""

    sets: dict[str, int]
    left_out: int


Export = Callable[[Corpus, Path], ExportSummary]
EXPORTS: Registry[Export] = Registry("layout", "expunge.corpus.exports")


@contextmanager
def atomic_folder(out: Path) -> Iterator[Path]:
    """An empty folder to fill, renamed to `out` at the end; after an error nothing is left of it.

    Note: it is made beside `out` under a hidden name; a process that is killed leaves it behind.
    """
    out = out.absolute()
    draft: Path | None = None
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InputError(str(out), "is there already", "name a new or an empty folder")
        out.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
        yield draft
        for file in draft.rglob("*"):
            _flush(file)
        draft.chmod(allowed_mode(0o777))
        draft.replace(out)
    except OSError as error:
        hint = "free some space or choose another folder; nothing was changed"
        raise InputError(str(out), f"could not be written ({error.strerror or error})", hint) from error
    finally:
        if draft:
            shutil.rmtree(draft, ignore_errors=True)


def _flush(file: Path) -> None:
    handle = os.open(file, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
