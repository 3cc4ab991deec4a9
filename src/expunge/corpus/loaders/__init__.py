"""Loaders: from files and folders to a checked corpus. One file per layout; all share `validate.py`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from expunge.corpus.corpus import Corpus
from expunge.corpus.loaders.base import LOADERS, Loader, SourceRow
from expunge.corpus.loaders.columns import Columns, read_mapping
from expunge.corpus.loaders.validate import records
from expunge.errors import InputError, nearest, unknown

__all__ = ["LOADERS", "Loader", "SourceRow", "load"]


def load(
    source: Path | str, loader: str | None = None, mapping: Path | str | Mapping[str, str] | None = None
) -> Corpus:
    """Read a file or folder completely, or raise the first `InputError` (`file:line: what; hint`).

    `loader` names the layout; without it, it is found from the name and the first row. `mapping` is
    {our field: their column}, or a YAML file that holds it.
    """
    path = Path(source)
    chosen = LOADERS.get(loader, str(path)) if loader else None
    if not path.exists():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise InputError(str(path), "there is no such file or folder", nearest(path.name, beside) if beside else "")
    chosen = chosen or _find(path)
    columns = Columns(read_mapping(mapping))
    if chosen.fixed and columns.mapping:
        raise InputError(str(path), "this layout has fixed columns", "leave the mapping out")
    found = records(chosen.rows(path), columns, str(path))
    return Corpus.of(found, path.name if path.is_dir() else path.stem)


def _find(path: Path) -> Loader:
    """The loader whose layout this is; special layouts come before the generic ones."""
    fitting = sorted(
        ((not item.fixed, name, item) for name, item in LOADERS if item.fits(path)), key=lambda triple: triple[:2]
    )
    if not fitting:
        if path.is_dir():
            raise InputError(
                str(path),
                "is a folder without forget and retain files",
                "give a file inside it, or name a loader: " + ", ".join(LOADERS.names()),
            )
        endings = [suffix for _, item in LOADERS for suffix in item.suffixes]
        raise unknown("file ending", path.suffix, endings, str(path))
    (generic, name, item), *others = fitting
    if generic and others:
        raise InputError(
            str(path), f"holds sets in several formats ({name}, {others[0][1]})", "keep one, or name a loader"
        )
    return item
