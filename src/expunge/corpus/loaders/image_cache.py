"""Where pictures lie that came as bytes inside a table: one folder of this process, one file per different picture.

The folder stands in TMPDIR, can be entered by its owner only, and goes when the process ends. Surprising: a process
that is killed outright cannot tidy up, and leaves the folder behind.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path

from expunge.errors import InputError


def keep(data: bytes, digest: str, ending: str) -> Path:
    """The file that holds these bytes, written unless it is there already."""
    try:
        file = _folder(os.getpid()) / f"{digest}.{ending}"
        if not file.exists():
            part = file.with_suffix(".part")
            part.write_bytes(data)
            part.replace(file)
    except OSError as error:
        raise InputError(
            "temporary folder",
            f"pictures could not be written ({error.strerror})",
            "free some space, or name another folder in TMPDIR",
        ) from error
    return file


@functools.cache
def _folder(process: int) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="expunge-pictures-"))
    atexit.register(_remove, folder, process)
    return folder


def _remove(folder: Path, process: int) -> None:
    """A forked child inherits the duty to tidy up, but not the folder."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)
