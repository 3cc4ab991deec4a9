"""One writer at a place of an asset: a purge reads a file and writes it again, and must lose no other purge.

A fencing number cannot do this: a worker that was frozen between reading and writing would bring back, once it wakes
up, what others have removed since. The lock of the system lasts as long as its process, also while that one is frozen.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from expunge._io import lock_exclusively
from expunge.desk.connectors.base import Connector, place
from expunge.errors import InputError

FOLDER = "locks"
PATIENCE = 20.0  # seconds for which a task waits; then it counts as failed, and is tried again


def lock_file(root: Path, connector: Connector, asset_id: str) -> Path:
    """The lock of an asset; assets whose settings name the same file share one."""
    path = getattr(connector, "path", None) or getattr(connector, "texts", None)
    name = str(place(root, path).resolve()) if isinstance(path, str) else asset_id
    return root / FOLDER / hashlib.sha256(name.encode()).hexdigest()[:32]


@contextmanager
def alone_at(file: Path) -> Iterator[None]:
    """Hold a lock against other threads and processes.

    Raises:
        InputError: somebody else holds it for longer than `PATIENCE`, or it cannot be opened.
    """
    until = time.monotonic() + PATIENCE
    try:
        file.parent.mkdir(mode=0o700, exist_ok=True)
        stream = file.open("a")
    except OSError as error:
        raise InputError(
            str(file), f"could not be opened ({error.strerror})", "check folder and permissions"
        ) from error
    with stream:
        while lock_exclusively(stream) is False:
            if time.monotonic() > until:
                hint = "it is tried again; if this goes on, end a worker that hangs"
                raise InputError("purge", "another worker is at the same place", hint)
            time.sleep(0.05)
        yield
