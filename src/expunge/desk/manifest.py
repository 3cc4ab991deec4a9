"""The manifest of a result: paths with their digests, written last by renaming; no manifest, no result.

The files and the root are those of a certificate's manifest (`evidence.manifest`): every file counts, hidden ones too.
"""

from __future__ import annotations

from pathlib import Path

from expunge._io import read_object, write_json
from expunge.errors import InputError
from expunge.evidence.manifest import make_manifest, manifest_problems, manifest_root

FILE = "manifest.json"


def write_manifest(folder: Path, name: str) -> str:
    """Write the manifest of `folder/name` into `folder`, and return its root.

    Args:
        folder: folder of a plan's run.
        name: folder of the result in it.
    """
    files = make_manifest(folder / name)
    root = manifest_root(files)
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
    here, recorded = make_manifest(folder / str(about.get("result"))), about.get("files")
    if not isinstance(recorded, dict) or recorded != here or about.get("root") != manifest_root(here):
        problems = manifest_problems(recorded, here) if isinstance(recorded, dict) else []
        what = "its result was changed after it was complete" + (f" ({problems[0]})" if problems else "")
        raise InputError(str(folder), what, "restore it, or plan again")
    return str(about["root"])
