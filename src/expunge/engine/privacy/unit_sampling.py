"""Who stands in a step: one coin per unit, thrown anew every step (Poisson sampling), by (seed, side, step) alone.

No shuffled batches: the amplification that the accountants count belongs to independent coins. Surprising: a step
may draw nobody. It is taken all the same (noise only), since leaving it out would tell that nobody was there.
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
    """The units of one side: `names`, and the positions of each one's records in that side's records."""

    names: tuple[str, ...]
    rows: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, records: Iterable[Record], unit: Unit) -> Units:
        """Units in the order of their first record. A record without a subject is a unit of its own."""
        found: dict[str, list[int]] = {}
        for k, r in enumerate(records):
            named = unit == "subject" and r.subject
            found.setdefault(f"subject {r.subject}" if named else f"record {r.id}", []).append(k)
        return cls(tuple(found), tuple(map(tuple, found.values())))

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def _size(self) -> np.ndarray:
        return np.array([len(rows) for rows in self.rows])

    def drawn_rows(self, most: int | None) -> int:
        """Rows of a draw of everybody, each unit with at most `most`."""
        return int(np.minimum(self._size, most).sum() if most else self._size.sum())

    def draw(self, seed: int, side: Side, step: int, rate: float, most: int | None = None) -> Draw:
        """Each unit with probability `rate`; of its rows all, or `most` drawn without replacement."""
        coins = stream(seed, "coins", side, step).random(len(self)) < rate
        return [(unit, self._part(seed, side, step, unit, most)) for unit in np.flatnonzero(coins).tolist()]

    def _part(self, seed: int, side: Side, step: int, unit: int, most: int | None) -> list[int]:
        rows = self.rows[unit]
        if most is None or len(rows) <= most:
            return list(rows)
        chosen = stream(seed, "rows", side, step, unit).choice(len(rows), most, replace=False)
        return [rows[k] for k in sorted(chosen.tolist())]
