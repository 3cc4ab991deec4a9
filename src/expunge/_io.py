"""Files that are either whole or absent: atomic writes, canonical JSON, digests."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from expunge.errors import InputError


def allowed_mode(wanted: int) -> int:
    """`wanted` without what the user's umask takes away; 0o666 for a new file, 0o777 for a folder."""
    mask = os.umask(0o077)  # while it is read, nothing is opened to others
    os.umask(mask)
    return wanted & ~mask


def write_atomic(path: Path | str, data: str | bytes, *, private: bool = False) -> Path:
    """Write `data` beside `path`, flush it to disk, then rename: a reader never sees half a file.

    A new file has the mode that the user's umask leaves; a private one, of personal data, is for its owner alone.
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
        Path(temporary).chmod(allowed_mode(0o600 if private else 0o666))
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


def relative_to(folder: Path | str, target: str) -> str:
    """Where `target` lies as seen from `folder`, for a file in it: no file tells where on a machine things lie.

    What does not exist (an id on the hub) stays as it is; of another drive only the name is told.
    """
    if not Path(target).exists():
        return target
    try:
        return Path(os.path.relpath(Path(target).resolve(), Path(folder).resolve())).as_posix()
    except ValueError:
        return Path(target).name


def write_json(path: Path | str, value: Any, *, private: bool = False) -> Path:
    """Indented JSON, written as `write_atomic` does; `ValueError` for NaN or infinity."""
    return write_atomic(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", private=private)


def read_json(path: Path | str) -> Any:
    """The value in a file; `InputError` with the line where it is no JSON, or for a file that cannot be read."""
    path = Path(path)
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise InputError(str(path), "there is no such file") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}", f"not valid JSON ({error.msg})") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(str(path), f"could not be read ({getattr(error, 'strerror', None) or error})") from error


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
