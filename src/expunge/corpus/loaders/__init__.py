"""Loaders: from files and folders to a checked corpus. One file per layout; `validate.py` checks all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from expunge.corpus.corpus import Corpus
from expunge.corpus.duplicates import PlaceList
from expunge.corpus.loaders.base import LOADERS, Loader, SourceRow
from expunge.corpus.loaders.columns import Columns, read_mapping
from expunge.corpus.loaders.validate import SubjectRegistry, validated_records
from expunge.errors import InputError, nearest, unknown

__all__ = ["LOADERS", "LoadedSource", "Loader", "SourceRow", "load_corpus", "load_source"]


@dataclass(frozen=True)
class LoadedSource:
    """A corpus with how it was read.

    Attributes:
        loader: Name of the layout; `reason` says why it was taken.
        fixed: The layout has columns of its own; `columns` then are the fields that its loader makes.
        places: The place of each record.
        subjects: Where subjects come from.
    """

    corpus: Corpus
    loader: str
    reason: str
    fixed: bool
    columns: Columns
    places: PlaceList
    subjects: SubjectRegistry


def load_corpus(
    source: Path | str, loader: str | None = None, mapping: Path | str | Mapping[str, str] | None = None
) -> Corpus:
    """Read a file or folder completely.

    Args:
        loader: Name of the layout; by default found from the file name and the first row.
        mapping: {our field: their column}, or a YAML file that holds it.

    Raises:
        InputError: At the first bad row, as `file:line: what; hint`.
    """
    return load_source(source, loader, mapping).corpus


def load_source(
    source: Path | str, loader: str | None = None, mapping: Path | str | Mapping[str, str] | None = None
) -> LoadedSource:
    """As `load_corpus`, with what `expunge data check` reports beside the corpus."""
    path = Path(source)
    layout = LOADERS.get(loader, str(path)) if loader else None
    if not path.exists():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise InputError(str(path), "there is no such file or folder", nearest(path.name, beside) if beside else "")
    name, reason = loader or "", "as requested"
    if layout is None:
        name, layout = _detect(path)
        reason = "the layout of its files and columns" if layout.fixed else f"the file ending of {path.name}"
    columns = Columns(read_mapping(mapping))
    if layout.fixed and columns.mapping:
        raise InputError(str(path), "this layout has fixed columns", "leave the mapping out")
    places, subjects = PlaceList(), SubjectRegistry()
    rows = validated_records(layout.rows(path), columns, places, subjects)
    corpus = Corpus.of(rows, path.name if path.is_dir() else path.stem, places)
    columns.finish(str(path))
    corpus = Corpus(subjects.fill(corpus.records), corpus.name)
    return LoadedSource(corpus, name, reason, layout.fixed, columns, places, subjects)


def _detect(path: Path) -> tuple[str, Loader]:
    """The loader whose layout this is; special layouts come before the generic ones."""
    fitting = sorted(
        ((not item.fixed, name, item) for name, item in LOADERS if item.fits(path)), key=lambda triple: triple[:2]
    )
    if not fitting:
        if path.is_dir():
            hint = "give a file inside it, or name a loader: " + ", ".join(LOADERS.names())
            raise InputError(str(path), "is a folder without forget and retain files", hint)
        suffixes = [suffix for _, item in LOADERS for suffix in item.suffixes]
        raise unknown("file ending", path.suffix, suffixes, str(path))
    (generic, name, item), *others = fitting
    if generic and others:
        hint = "keep one, or name a loader"
        raise InputError(str(path), f"holds sets in several formats ({name}, {others[0][1]})", hint)
    return name, item
