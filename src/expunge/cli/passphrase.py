"""The passphrase of a key: from a file, the standard input, the environment or a terminal; never from an argument."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from expunge.errors import InputError

if TYPE_CHECKING:
    from expunge.evidence.signing_key import SigningKey

SHARED_VARIABLE = "EXPUNGE_PASSPHRASE"


def read_passphrase(role: str, source: Path | None, option: str = "--passphrase-file") -> str:
    """The passphrase of the key in a role.

    Args:
        role: operator, auditor, log, or empty for a key of any role.
        source: A file, of which the first line counts; `-` for a line of the standard input; None for the environment
            (`EXPUNGE_OPERATOR_PASSPHRASE` and so on, then `EXPUNGE_PASSPHRASE`) or the terminal.
        option: The option to name in errors.
    """
    if source is not None and str(source) == "-":
        line = sys.stdin.readline()
        if not line:
            raise InputError(option, "nothing came from the standard input", "write the passphrase to it")
        return line.rstrip("\r\n")
    if source is not None:
        from expunge._text_file import read_text

        return read_text(source, "give a file that holds the passphrase", most=4096).split("\n")[0]
    own = f"EXPUNGE_{role.upper()}_PASSPHRASE"
    for variable in (own, SHARED_VARIABLE) if role else (SHARED_VARIABLE,):
        if variable in os.environ:
            return os.environ[variable]
    if sys.stdin.isatty():
        from getpass import getpass

        return getpass(f"Passphrase of the {role} key: " if role else "Passphrase: ")
    named = f"{own} or {SHARED_VARIABLE}" if role else SHARED_VARIABLE
    raise InputError(option, "there is no passphrase", f"give {option} FILE (- for the standard input), or set {named}")


def open_key(path: Path, role: str, source: Path | None, option: str = "--passphrase-file") -> SigningKey:
    """The private key in a file, decrypted."""
    from expunge.evidence.signing_key import load_key

    return load_key(path, read_passphrase(role, source, option))
