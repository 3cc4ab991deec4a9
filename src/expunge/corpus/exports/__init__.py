"""Exports: a corpus as files in a layout that others read. One file per layout."""

from __future__ import annotations

from pathlib import Path

from expunge.corpus.corpus import Corpus
from expunge.corpus.exports.base import EXPORTS, Export, ExportSummary
from expunge.corpus.exports.folder import whole

__all__ = ["EXPORTS", "Export", "Written", "export"]


def export(corpus: Corpus, layout: str, out: Path | str) -> ExportSummary:
    """Write `corpus` to the new or empty folder `out`; what cannot be said in the layout is counted, not written.

    The folder appears when all of it is on disk, or not at all.
    """
    chosen = EXPORTS.get(layout, "layout")
    with whole(Path(out)) as folder:
        return chosen(corpus, folder)
