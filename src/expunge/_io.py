"""Files that are either whole or absent: atomic writes, canonical JSON, digests."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import IO, Any

from expunge._text_file import read_text
from expunge.errors import InputError

PART = ".part"  # ending of the temporary files that `write_atomic` renames; a killed writer leaves one behind


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
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=PART)
        with os.fdopen(handle, "wb") as stream:
            stream.write(raw)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(allowed_mode(0o600 if private else 0o666))
        Path(temporary).replace(path)
        sync(path.parent)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise InputError(
            str(path),
            f"could not be written ({error.strerror or error})",
            "free some space or choose another folder; nothing was changed",
        ) from error
    return path


def sync(path: Path) -> None:
    """Flush a file, or the entries of a folder, to the disk; where a system cannot do that for a folder, nothing."""
    is_folder = path.is_dir()
    with suppress(OSError) if is_folder else nullcontext():
        handle = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


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


def read_json(path: Path | str, hint: str = "") -> Any:
    """The value in a file.

    Args:
        path: the file.
        hint: what to do about a file that holds no JSON.

    Raises:
        InputError: the file is not there, cannot be read, or holds no JSON; with the line where it is none.
    """
    if not os.path.lexists(path):
        raise InputError(str(path), "there is no such file")
    return parse_json(read_text(path, hint), str(path), hint)


def parse_json(text: str, where: str, hint: str = "", line: int = 0) -> Any:
    """The value that `text` writes; `where` names its file in errors, `line` its line if it is but one of several."""
    try:
        value = load_json(text)
        if "\\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except UnicodeEncodeError as error:
        raise InputError(where, "holds half a surrogate pair", hint) from error
    except json.JSONDecodeError as error:
        raise InputError(f"{where}:{line or error.lineno}", f"not valid JSON ({error.msg})", hint) from error
    except ValueError as error:
        raise InputError(where, f"not valid JSON ({error})", hint) from error


def load_json(text: str) -> Any:
    """The value of a JSON text; `ValueError` also for one that is nested too deeply or holds a huge number."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_object(path: Path | str, hint: str = "") -> dict[str, Any]:
    """As `read_json`, of a file that holds keys and values; `InputError` for any other value."""
    value = read_json(path, hint)
    if not isinstance(value, dict):
        raise InputError(str(path), "must be a mapping of keys to values", hint)
    return value


def canonical(value: Any) -> bytes:
    """Sorted, compact UTF-8 JSON: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`, as hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


def digest_file(path: Path) -> str:
    """SHA-256 of the bytes of a file, as hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_files(folder: Path, names: Iterable[str]) -> str:
    """SHA-256 over (name, content) of the named files of a folder, in sorted order."""
    total = hashlib.sha256()
    for name in sorted(names):
        total.update(name.encode() + b"\0")
        total.update(bytes.fromhex(digest_file(folder / name)))
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
