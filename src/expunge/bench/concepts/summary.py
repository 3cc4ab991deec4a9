"""From figures of every cell to what a table says of a row: means, intervals over seeds, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from expunge.bench.concepts.intervals import Interval, difference, estimate
from expunge.bench.concepts.suite import Cells

COLUMNS = (
    "leak",
    "leak_mean",
    "fr",
    "kpr",
    "us",
    "choice",
    "choice_cc",
    "auc",
    "auc_entropy",
    "mia_resistance",
    "retention",
    "retention_L1",
    "retention_L2",
    "retention_L3",
    "nll",
    "ks",
    "distance_to_retrained",
    "trainable_share",
    "seconds",
)
PLACES = {"trainable_share": 4, "seconds": 0}  # decimals; three elsewhere


def summarised(
    found: Mapping[str, Cells], failed: Mapping[str, Sequence[str]], columns: Sequence[str] = COLUMNS
) -> dict[str, Any]:
    """Ready for JSON, with these columns.

    methods    row → column → mean over domains and seeds
    intervals  row → column → [low, high], 95 %, over seeds
    by_domain  row → domain → column → mean over seeds
    cells      row → domain → seed → columns
    failed     row → what gave no figures; such a row's means are over the cells that are left
    """
    return {
        "methods": {row: {c: rounded(estimate(cells, c)[0]) for c in columns} for row, cells in found.items()},
        "intervals": {row: {c: ends(estimate(cells, c)[1]) for c in columns} for row, cells in found.items()},
        "by_domain": {
            row: {
                domain: {c: rounded(estimate({domain: of_seeds}, c)[0]) for c in columns}
                for domain, of_seeds in cells.items()
            }
            for row, cells in found.items()
        },
        "cells": dict(found),
        "failed": {row: list(lines) for row, lines in failed.items()},
    }


def differences(
    found: Mapping[str, Cells], base: str, others: Sequence[str], columns: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """row → column → mean of row - base, paired by seed, with its interval; rows that do not exist are left out."""
    pairs = {row: {c: difference(found[row], found[base], c) for c in columns} for row in others if row in found}
    return {
        row: {c: {"mean": rounded(middle), "interval": ends(interval)} for c, (middle, interval) in of.items()}
        for row, of in pairs.items()
    }


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def ends(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [round(v, 6) for v in interval]


def shown(mean: float | None, interval: Sequence[float] | None = None, places: int = 3) -> str:
    """`0.512`, `0.512 ± 0.031` with the half width of its interval, or a dash."""
    if mean is None:
        return "–"
    text = f"{round(mean, places) + 0.0:.{places}f}".replace("-", "−")
    return text if interval is None else f"{text} ± {(interval[1] - interval[0]) / 2:.{places}f}"


def table(found: Mapping[str, Any], columns: Mapping[str, str], spread: bool = True) -> list[list[str]]:
    """Rows of text from what `summarised` gave: the name, then every column (key → head)."""
    return [
        [
            row,
            *(
                shown(
                    of[c], found["intervals"][row][c] if spread and c != "trainable_share" else None, PLACES.get(c, 3)
                )
                for c in columns
            ),
        ]
        for row, of in found["methods"].items()
    ]
