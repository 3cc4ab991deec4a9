"""Reads a text file of a user: an ordinary file of bounded size, in UTF-8, without NUL."""

from __future__ import annotations

import stat
from pathlib import Path

from expunge.errors import InputError

MAX_BYTES = 256 * 2**20  # bytes of a file


def read_text(path: Path | str, hint: str = "give a UTF-8 text file", where: str = "", most: int = MAX_BYTES) -> str:
    """The text of a file, without a byte-order mark, each line end as a line feed.

    Args:
        path: The file; a device or a pipe, which may never end, is refused.
        hint: What to do about a file that cannot be read.
        where: Names the file in errors; its path if empty.
        most: Bytes that it may hold.

    Raises:
        InputError: No such file, no ordinary file, too many bytes, no UTF-8, or a NUL in it.
    """
    place = where or str(path)
    try:
        about = Path(path).stat()
        if not stat.S_ISREG(about.st_mode):
            kind = "a folder" if stat.S_ISDIR(about.st_mode) else "no ordinary file"
            raise InputError(place, f"{path} is {kind}" if where else f"is {kind}", hint)
        with Path(path).open("rb") as stream:
            raw = stream.read(most + 1)
        text = raw.decode("utf-8-sig")
    except InputError:
        raise
    except UnicodeDecodeError as error:
        raise InputError(place, f"{_named(path, where)}could not be read (not UTF-8)", hint) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL or half a surrogate pair in the path
        reason = error.strerror if isinstance(error, OSError) else "no usable path"
        raise InputError(place, f"{_named(path, where)}could not be read ({reason})", hint) from error
    if len(raw) > most:
        raise InputError(place, f"{_named(path, where)}holds more than {most / 2**20:g} MiB", "make it smaller")
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise InputError(f"{path}:{line}", "holds a NUL character", "write the file again as text")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _named(path: Path | str, where: str) -> str:
    return f"the file {path} " if where else ""


def is_file(path: Path | str) -> bool:
    """Whether there is such a file; False for a text that can be no path (too long, or with a NUL)."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False
