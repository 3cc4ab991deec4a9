"""The manifest of a result: sorted paths with their digests, written last by renaming; no manifest, no result."""

from __future__ import annotations

from pathlib import Path

from expunge._io import digest, digest_file, read_object, write_json
from expunge.errors import InputError

FILE = "manifest.json"


def write_manifest(folder: Path, name: str) -> str:
    """Write the manifest of `folder/name` into `folder`, and return its root.

    Args:
        folder: folder of a plan's run.
        name: folder of the result in it.
    """
    files = file_list(folder / name)
    root = digest(files)
    write_json(folder / FILE, {"result": name, "files": files, "root": root}, private=True)
    return root


def read_manifest(folder: Path) -> str | None:
    """The root of a complete and unchanged result; None if there is no manifest.

    Raises:
        InputError: a file of the result was changed, added or removed after the manifest was written.
    """
    if not (folder / FILE).is_file():
        return None
    about = read_object(folder / FILE, "run again")
    files = file_list(folder / str(about.get("result")))
    if about.get("files") != files or about.get("root") != digest(files):
        raise InputError(str(folder), "its result was changed after it was complete", "restore it, or plan again")
    return str(about["root"])


def file_list(folder: Path) -> list[list[str]]:
    """[path, SHA-256] of each file of a folder, sorted, without hidden ones."""
    paths = sorted(f for f in folder.rglob("*") if f.is_file())
    names = [f.relative_to(folder) for f in paths]
    shown = [name for name in names if not any(part.startswith(".") for part in name.parts)]
    return [[name.as_posix(), digest_file(folder / name)] for name in shown]
