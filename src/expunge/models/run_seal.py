"""A finished run is sealed: `run.json` holds digests of the other files of the run, and one of itself.

A seal finds what was changed or mixed up. It does not stop somebody who seals a forged run anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from expunge._io import digest
from expunge.errors import InputError
from expunge.models.file_digest import file_digests

SEAL, FILES = "seal", "files"  # keys of run.json
SEALED = ("recipe.yaml", "events.jsonl", "environment.json", "result.json", "privacy.json")
DELETABLE = ("undo.safetensors",)  # a user may delete it
PLACE = "model"  # key of run.json that says where the base lies, which may move


def sealed(folder: Path, about: Mapping[str, Any]) -> dict[str, Any]:
    """`about`, the content of run.json, with digests of the files of the run and of itself."""
    names = [name for name in (*SEALED, *DELETABLE) if (folder / name).is_file()]
    whole = {**about, FILES: {name: _digest(folder / name) for name in names}}
    return {**whole, SEAL: _own(whole)}


def broken_seals(folder: Path, about: Mapping[str, Any], fresh: bool = False) -> Iterator[tuple[str, str]]:
    """(file, what is wrong) for each file of a run that is not as the run wrote it; none for an unsealed run."""
    if SEAL not in about and FILES not in about:
        return
    if about.get(SEAL) != _own(about):
        yield "run.json", "was changed after the run"
    files = about.get(FILES)
    for name, recorded in (files if isinstance(files, dict) else {}).items():
        file = folder / str(name)
        if not file.is_file():
            if name not in DELETABLE:
                yield str(name), "is gone"
        elif _digest(file, fresh) != recorded:
            yield str(name), "was changed after the run"


def check_seals(folder: Path, about: Mapping[str, Any]) -> None:
    """`InputError` for the first file of a finished run that is not as the run wrote it."""
    for name, what in broken_seals(folder, about):
        raise InputError(str(folder / name), what, "bring the file back, or unlearn again in a new folder")


def check_sealed(folder: Path, about: Mapping[str, Any]) -> None:
    """As `check_seals`; `InputError` also for a finished run without a seal, which anybody may have written."""
    if SEAL not in about or FILES not in about:
        what = "has no seal, so it was changed after the run, or an earlier version wrote it"
        raise InputError(str(folder / "run.json"), what, "unlearn again in a new folder")
    check_seals(folder, about)


def _digest(file: Path, fresh: bool = False) -> str:
    return digest(file_digests(file, fresh))


def _own(about: Mapping[str, Any]) -> str:
    return digest({key: value for key, value in about.items() if key not in (SEAL, PLACE)})
