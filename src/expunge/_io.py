"""Files that are either whole or absent: atomic writes, canonical JSON, digests."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from expunge._text_file import read_text
from expunge.errors import InputError


def write_atomic(path: Path | str, data: str | bytes) -> Path:
    """Write `data` beside `path`, flush it to disk, then rename: a reader never sees half a file.

    A full disk or a missing permission becomes an `InputError`; the temporary file is removed.
    """
    path = Path(path)
    raw = data.encode() if isinstance(data, str) else data
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as stream:
            stream.write(raw)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise InputError(
            str(path),
            f"could not be written ({error.strerror or error})",
            "free some space or choose another folder; nothing was changed",
        ) from error
    return path


def write_json(path: Path | str, value: Any) -> Path:
    """Indented JSON, written as `write_atomic` does; `ValueError` for NaN or infinity."""
    return write_atomic(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path | str) -> Any:
    """The value in a file; `InputError` with the line where it is no JSON, or for a file that cannot be read."""
    if not os.path.lexists(path):
        raise InputError(str(path), "there is no such file")
    try:
        return parse_json(read_text(path, hint=""))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}", f"not valid JSON ({error.msg})") from error
    except InputError:
        raise
    except ValueError as error:
        raise InputError(str(path), f"not valid JSON ({error})") from error


def parse_json(text: str) -> Any:
    """The value of a JSON text; `ValueError` also for one that is nested too deeply or holds a huge number."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def canonical(value: Any) -> bytes:
    """Sorted, compact UTF-8 JSON: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`, as hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


def digest_files(folder: Path, names: Iterable[str]) -> str:
    """SHA-256 over (name, content) of the named files of a folder, in sorted order."""
    total = hashlib.sha256()
    for name in sorted(names):
        total.update(name.encode() + b"\0")
        with (folder / name).open("rb") as stream:
            total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()


def lock_exclusively(stream: IO[Any], *, wait: bool = False) -> bool | None:
    """Lock an open file against other processes; the system releases the lock when the file closes or the process dies.

    Returns:
        True once locked, False where another process holds the lock, None where the system has no file locks.
    """
    try:
        import fcntl
    except ImportError:
        return None
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def lock_folder(folder: Path, work: str) -> IO[Any]:
    """Take the file `lock` of a folder, until the stream is closed; the caller then removes the file.

    Raises:
        InputError: another process holds it; `work` says what is made there, for example `run`.
    """
    lock = (folder / "lock").open("w")
    if lock_exclusively(lock) is False:
        lock.close()
        what = f"another process is writing this {work}"
        raise InputError(str(folder), what, "wait for it to end, or choose another folder")
    return lock
