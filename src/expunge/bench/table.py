"""Tables of results over seeds, as plain text and as Markdown: a mean, and the range where there are several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

Summary = Mapping[str, Mapping[str, Any]]  # row name → column → {mean, low, high}


def over_seeds(rows: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Column → mean, lowest and highest value over `rows`, one per seed; a NaN makes all three NaN."""
    found = {}
    for column in rows[0]:
        values = np.asarray([row[column] for row in rows], dtype=np.float64)
        found[column] = {"mean": float(values.mean()), "low": float(values.min()), "high": float(values.max())}
    return found


def show(value: Mapping[str, float], places: int = 3) -> str:
    """`0.512`, or `0.512 (0.480 to 0.541)` where the seeds differ."""
    mean, low, high = (f"{value[k]:.{places}f}" for k in ("mean", "low", "high"))
    return mean if low == high else f"{mean} ({low} to {high})"


def filled(summary: Summary, columns: Sequence[str], places: int = 3) -> list[list[str]]:
    """Rows of text: the name, then every column."""
    return [[name, *(show(row[c], places) for c in columns)] for name, row in summary.items()]


def plain(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns set side by side, the first to the left and the others to the right."""
    lines = [list(heads), *map(list, rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(heads))]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if k == 0 else cell.rjust(w) for k, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are set to the right."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
