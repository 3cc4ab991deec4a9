"""SHA-256 of the tensors in a file, read blockwise, and remembered for as long as the file on disk is the same one.

A file is the same one if device, inode, size and both times (of its content, of its inode) are. Large files are also
remembered between processes, in the cache folder of the user. `fresh=True` reads the file in any case.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from expunge._io import digest, digest_file, write_json
from expunge.errors import InputError, first_line

BLOCK = 1 << 23  # bytes read at once
MAX_HEADER = 100_000_000  # bytes of a safetensors header, as in the library
LARGE = 1 << 26  # bytes from which on digests are remembered between processes
SETTLED = 2_000_000_000  # ns: a younger file may change again within the resolution of its times
MAX_REMEMBERED = 512  # files that are remembered

Key = tuple[int, ...]
_REMEMBERED: dict[Key, dict[str, str]] = {}


def file_digests(file: Path, fresh: bool = False) -> dict[str, str]:
    """Digest of each tensor of a safetensors file by name, over its type, shape and bytes.

    Of any other file one digest, over its bytes, by the name "". The header's order and notes do not count.

    Args:
        file: the file; links are followed.
        fresh: read it, whatever is remembered.

    Raises:
        InputError: it cannot be read, or is no whole safetensors file.
    """
    return _remembered_digests(file, fresh, _tensors if file.suffix == ".safetensors" else _content)


def content_digest(file: Path, fresh: bool = False) -> str:
    """SHA-256 over the bytes of any file, hex, remembered as `file_digests` are; `InputError` as there."""
    return _remembered_digests(file, fresh, _content, 1)[""]


def _content(file: Path) -> dict[str, str]:
    return {"": digest_file(file)}


def _remembered_digests(file: Path, fresh: bool, read: Callable[[Path], dict[str, str]], *kind: int) -> dict[str, str]:
    """What `read` gives for the file, from memory where the file is the same one; `kind` tells readers apart."""
    try:
        key = _key(file)
        if not fresh and (earlier := _REMEMBERED.get(key + kind) or _read_cache(key + kind)):
            return earlier
        digests = read(file)
        if _key(file) == key and time.time_ns() - max(key[3:]) > SETTLED:
            _remember(key + kind, digests)
        return digests
    except OSError as error:
        raise InputError(str(file), f"could not be read ({error.strerror or error})") from error


def _key(file: Path) -> Key:
    about = file.stat()
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns


def _tensors(file: Path) -> dict[str, str]:
    digests: dict[str, str] = {}
    with file.open("rb", buffering=0) as stream:
        buffer = memoryview(bytearray(BLOCK))
        for name, dtype, shape, start, size in _layout(file, stream):
            total = hashlib.sha256(json.dumps([dtype, shape]).encode())
            stream.seek(start)
            while size:
                count = stream.readinto(buffer[: min(BLOCK, size)])
                if not count:
                    raise _refuse_file(file, f"ends within {name}")
                total.update(buffer[:count])
                size -= count
            digests[name] = total.hexdigest()
    return digests


def _layout(file: Path, stream: IO[bytes]) -> list[tuple[str, str, list[int], int, int]]:
    """(name, type, shape, first byte, bytes) of every tensor, in the order of the file."""
    length = int.from_bytes(stream.read(8), "little")
    if length > min(MAX_HEADER, file.stat().st_size):
        raise _refuse_file(file, "its header is longer than the file")
    try:
        header: Any = json.loads(stream.read(length))
        rows = [
            (name, str(about["dtype"]), [int(n) for n in about["shape"]], *map(int, about["data_offsets"]))
            for name, about in header.items()
            if name != "__metadata__"
        ]
        layout = [(name, dtype, shape, 8 + length + start, end - start) for name, dtype, shape, start, end in rows]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _refuse_file(file, first_line(error)) from error
    if any(size < 0 or start < 8 for *_, start, size in layout):
        raise _refuse_file(file, "a tensor ends before it begins")
    return sorted(layout, key=lambda row: row[3])


def _refuse_file(file: Path, why: str) -> InputError:
    return InputError(str(file), f"is no whole safetensors file ({why[:120]})", "bring back the file that was saved")


# ---- memory ---------------------------------------------------------------------------------------------------------


def cache_folder() -> Path:
    """Where digests of large files are remembered: `$XDG_CACHE_HOME`, else `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "expunge" / "digests"


def _place(key: Key) -> Path:
    return cache_folder() / f"{digest(key)[:32]}.json"


def _read_cache(key: Key) -> dict[str, str] | None:
    """What an earlier process remembered of a large file; None where there is nothing that can be used."""
    if key[2] < LARGE:
        return None
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        stored = json.loads(_place(key).read_text("utf-8"))
        if tuple(stored["file"]) == key and stored["sum"] == digest(stored["digests"]):
            return {str(name): str(value) for name, value in stored["digests"].items()}
    return None


def _remember(key: Key, digests: dict[str, str]) -> None:
    if len(_REMEMBERED) >= MAX_REMEMBERED:
        _REMEMBERED.clear()
    _REMEMBERED[key] = digests
    if key[2] >= LARGE:
        with suppress(OSError, InputError):  # a cache that cannot be written costs time only
            write_json(_place(key), {"file": list(key), "sum": digest(digests), "digests": digests})
            for old in sorted(cache_folder().glob("*.json"), key=lambda p: p.stat().st_mtime)[:-MAX_REMEMBERED]:
                old.unlink()
