"""The temporary folder of a process for pictures out of tables, which are pictures of people.

It is for its owner alone and removed when the process ends. What a killed process left behind, the next one removes:
the folder of a living process holds a locked file.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from expunge._io import lock_exclusively

PREFIX = "expunge-pictures-"
LOCK = "lock"
GRACE = 60.0  # seconds in which a new folder may be without its lock
_held: list[IO[Any]] = []  # open for as long as the process lives


@functools.cache
def picture_folder(process: int) -> Path:
    """The folder of the process with this id; made on the first call. `OSError` for a full disk."""
    sweep(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    lock = (folder / LOCK).open("w")
    lock_exclusively(lock)
    _held.append(lock)
    atexit.register(_remove, folder, process)
    return folder


def sweep(place: Path) -> list[Path]:
    """Remove the folders in `place` whose process of this user is gone; returns them. Leaves all where in doubt."""
    removed: list[Path] = []
    if not hasattr(os, "getuid"):
        return removed
    for folder in place.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid() or not _is_left(folder):
                continue
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder)
    return removed


def _is_left(folder: Path) -> bool:
    """Whether no living process holds the lock of a folder."""
    lock = folder / LOCK
    if lock.is_symlink():
        return False
    if not lock.exists():
        return time.time() - folder.stat().st_mtime > GRACE
    with lock.open("r+") as stream:
        return lock_exclusively(stream) is True


def _remove(folder: Path, process: int) -> None:
    """A forked child inherits the exit handler, but not the folder."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)
