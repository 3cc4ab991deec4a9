"""Poisson sampling of units: one independent coin per unit and step, determined by (seed, side, step).

The amplification that the accountants count requires independent coins, not shuffled batches. A step may draw no unit;
it is taken with noise only, since leaving it out would reveal that nobody was drawn.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from expunge.corpus import Record
from expunge.gradients.saliency import Side
from expunge.privacy.config import Unit
from expunge.random import stream

Draw = list[tuple[int, list[int]]]  # (unit, its rows) of a step


@dataclass(frozen=True)
class Units:
    """The units of one side: their names, and the positions of their records."""

    names: tuple[str, ...]
    rows: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, records: Iterable[Record], unit: Unit) -> Units:
        """Units in the order of their first record. A record without a subject is a unit of its own."""
        positions: dict[str, list[int]] = {}
        for k, r in enumerate(records):
            named = unit == "subject" and r.subject
            positions.setdefault(f"subject {r.subject}" if named else f"record {r.id}", []).append(k)
        return cls(tuple(positions), tuple(map(tuple, positions.values())))

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def _sizes(self) -> np.ndarray:
        return np.array([len(rows) for rows in self.rows])

    def drawn_rows(self, most: int | None) -> int:
        """Rows of a draw of all units, each with at most `most`."""
        return int(np.minimum(self._sizes, most).sum() if most else self._sizes.sum())

    def draw(self, seed: int, side: Side, step: int, rate: float, most: int | None = None) -> Draw:
        """Each unit with probability `rate`, with all its rows or `most` drawn without replacement."""
        coins = stream(seed, "coins", side, step).random(len(self)) < rate
        return [(unit, self._part(seed, side, step, unit, most)) for unit in np.flatnonzero(coins).tolist()]

    def _part(self, seed: int, side: Side, step: int, unit: int, most: int | None) -> list[int]:
        rows = self.rows[unit]
        if most is None or len(rows) <= most:
            return list(rows)
        chosen = stream(seed, "rows", side, step, unit).choice(len(rows), most, replace=False)
        return [rows[k] for k in sorted(chosen.tolist())]
