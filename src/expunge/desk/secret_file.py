"""Secrets in files of their own: the first line, in a file that only the desk's user can read."""

from __future__ import annotations

import os
from pathlib import Path

from expunge._text_file import read_text
from expunge.errors import InputError


def read_secret(file: Path, what: str = "passphrase") -> str:
    """The first line of a file; `InputError` if it is not there, or others can read it."""
    text = read_text(file, f"write the {what} into its first line", most=4096)
    if os.name == "posix" and file.stat().st_mode & 0o077:
        raise InputError(str(file), "can be read by others", f"chmod 600 {file.name}")
    return text.split("\n")[0]
