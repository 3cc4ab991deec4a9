"""Exports: a corpus as files in the layout of a benchmark. One file per layout."""

from __future__ import annotations

from pathlib import Path

from expunge.corpus.corpus import Corpus
from expunge.corpus.exports.base import EXPORTS, Export, ExportSummary, atomic_folder

__all__ = ["EXPORTS", "Export", "ExportSummary", "export"]


def export(corpus: Corpus, layout: str, out: Path | str) -> ExportSummary:
    """Write `corpus` in a layout to the new or empty folder `out`; the summary counts records that it has no set for.

    The folder appears when all of it is on disk, or not at all.
    """
    write = EXPORTS.get(layout, "layout")
    with atomic_folder(Path(out)) as folder:
        return write(corpus, folder)
