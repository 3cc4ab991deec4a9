"""The manifest of a model folder: every file by its path and SHA-256, and one root over them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from expunge.errors import InputError
from expunge.evidence.canonical_json import canonical_digest
from expunge.models.file_digest import content_digest

MOST_FILES = 20_000
Manifest = dict[str, str]  # path with / → SHA-256, hex


def make_manifest(folder: Path, remembered: bool = False) -> Manifest:
    """SHA-256 of every file below `folder` by its path, sorted. A link to a file counts as the file.

    Args:
        folder: The model.
        remembered: Do not read a large file again that was hashed before and is the same one by inode, size and times.

    Raises:
        InputError: no folder, an empty one, a link to a folder, what is neither file nor folder, or a file that changed
            while it was read.
    """
    if not folder.is_dir():
        raise InputError(str(folder), "there is no such model folder", "give the folder of the model in use")
    files = sorted(_files(folder))
    if not files:
        raise InputError(str(folder), "holds no file", "give the folder of the model in use")
    return {name: _digest(folder / name, remembered) for name in files}


def _files(folder: Path) -> list[str]:
    names = []
    for place, folders, files in os.walk(folder):
        inner = Path(place)
        for name in folders:
            if (inner / name).is_symlink():
                raise InputError(str(inner / name), "is a link to a folder", "put the files there themselves")
        for name in files:
            file = inner / name
            if not file.is_file():
                raise InputError(str(file), "is no ordinary file", "remove it from the model folder")
            names.append(file.relative_to(folder).as_posix())
        if len(names) > MOST_FILES:
            raise InputError(str(folder), f"holds more than {MOST_FILES:,} files", "give the folder of one model")
    return names


def _digest(file: Path, remembered: bool) -> str:
    before = _state(file)
    digest = content_digest(file, fresh=not remembered)
    if _state(file) != before:
        raise InputError(str(file), "changed while it was read", "stop what writes there, and start again")
    return digest


def _state(file: Path) -> tuple[int, ...]:
    try:
        about = file.stat()
    except OSError as error:
        raise InputError(str(file), f"could not be read ({error.strerror})", "stop what writes there") from error
    return about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns


def manifest_root(manifest: Mapping[str, str]) -> str:
    """SHA-256 over the canonical list of (path, digest), sorted by path, hex."""
    return canonical_digest(sorted([name, digest] for name, digest in manifest.items()))


def manifest_problems(recorded: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    """What differs between two manifests, a clause each: changed, added, removed and renamed files."""
    gone, new = [n for n in recorded if n not in here], [n for n in here if n not in recorded]
    lines = [f"{n} was changed" for n in recorded if n in here and here[n] != recorded[n]]
    for name in gone:
        moved = next((n for n in new if here[n] == recorded[name]), None)
        if moved is not None:
            new.remove(moved)
        lines.append(f"{name} was renamed to {moved}" if moved is not None else f"{name} was removed")
    return [*lines, *(f"{name} was added" for name in new)]
