"""Helpers for tests of readers: bad lines and unreadable files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from expunge.errors import InputError

Reader = Callable[[Path], Any]


def error_text(read: Reader, path: Path, content: str | bytes) -> str:
    """The error of `read` for a file with this content, without the folder."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as error:
        read(path)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(str(path))
    return str(error.value).removeprefix(str(path.parent)).lstrip("/")


def check_unreadable(read: Reader, path: Path, empty: str, first_line: str) -> None:
    """`read` refuses a missing file, a folder, an empty file, another encoding and a binary file."""
    with pytest.raises(InputError, match="there is no such file"):
        read(path)
    path.mkdir()
    with pytest.raises(InputError, match="is a folder, a file was expected"):
        read(path)
    path.rmdir()
    assert error_text(read, path, "").startswith(f"{path.name}: {empty}")
    latin = first_line.encode() + b"\nM\xe9ni\xe8re\n"
    assert error_text(read, path, latin).startswith(
        f"{path.name}:2: not UTF-8 (byte 2 of the line); save the file as UTF-8"
    )
    assert error_text(read, path, first_line.encode() + b"\n\0\0").startswith(f"{path.name}:2: holds NUL bytes")
