"""What an export is: something that writes a corpus into an empty folder, and says what it wrote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from expunge._registry import Registry
from expunge.corpus.corpus import Corpus


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """`parts`: set → records in it (a record may stand in several). `left_out`: records that stand in none."""

    parts: dict[str, int]
    left_out: int


Export = Callable[[Corpus, Path], ExportSummary]
EXPORTS: Registry[Export] = Registry("layout", "expunge.corpus.exports")
