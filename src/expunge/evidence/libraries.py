"""Whether the libraries of the extras `evidence` and `scitt` are installed."""

from __future__ import annotations

from importlib.util import find_spec

from expunge.errors import InputError, install_hint

NEEDED = {"evidence": ("cryptography", "securesystemslib", "rfc8785"), "scitt": ("cbor2", "scitt_cose")}


def require(extra: str = "evidence") -> None:
    """`InputError` that names the packages to install, if a library of the extra is missing."""
    missing = [name for name in NEEDED[extra] if find_spec(name) is None]
    if missing:
        raise InputError(extra, f"needs {', '.join(missing)}", install_hint(extra))
