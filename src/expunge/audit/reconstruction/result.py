"""The scores of the attack on one model: a number per fact, context level and vector, NaN where nothing was asked.

A result is independent of other models: those of the original and the retrained model serve many comparisons
(`compare.py`), which join facts by id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import FiniteFloat

from expunge._config import FrozenModel
from expunge._io import read_json, write_json
from expunge._validation import validate
from expunge.audit.reconstruction.prompts import CONTROLS
from expunge.audit.scores import Values
from expunge.errors import InputError

FORMAT: Literal["expunge-reconstruction/1"] = "expunge-reconstruction/1"
SCORES = ("top1", "rank", "exact")
BROKEN = "run the attack again"
Tables = dict[str, list[list[FiniteFloat | None]]]


class ReconstructionFile(FrozenModel):
    """The file of a `Reconstruction`: tables by vector, a row per fact, null where nothing was asked."""

    format: Literal["expunge-reconstruction/1"]
    facts: list[str]
    subjects: list[str]
    levels: list[str]
    chance: list[FiniteFloat]
    top1: Tables
    rank: Tables
    exact: Tables
    left_out: dict[str, int]


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """Arrays [N facts, levels] by vector.

    Attributes:
        facts: Record ids of the facts.
        subjects: Subject of each fact.
        levels: Names of the levels of context; the first states nothing.
        chance: [N] 1/m for m candidates.
        top1: 1 where the true answer ranks first among the candidates (ties share it).
        rank: (m - rank)/(m - 1): 1 is first, 0 last, chance .5.
        exact: 1 where greedy decoding gives the answer, token for token.
        left_out: Facts or prompts that are not scored, by reason.
    """

    facts: tuple[str, ...]
    subjects: tuple[str, ...]
    levels: tuple[str, ...]
    chance: Values
    top1: Mapping[str, Values]
    rank: Mapping[str, Values]
    exact: Mapping[str, Values]
    left_out: Mapping[str, int]

    @property
    def vectors(self) -> tuple[str, ...]:
        """`true` and its controls, then one for every other image."""
        return tuple(self.top1)

    @property
    def attacks(self) -> tuple[str, ...]:
        """The vectors that are no controls; each of them is judged."""
        return tuple(v for v in self.top1 if v not in CONTROLS)

    def of(self, score: str, vector: str, facts: Sequence[str] | None = None) -> Values:
        """[N, levels] of a score for these facts in this order; NaN for a vector or fact that was not asked."""
        table: Mapping[str, Values] = getattr(self, score)
        values = table.get(vector, np.full((len(self.facts), len(self.levels)), np.nan))
        if facts is None:
            return values
        place = {name: k for k, name in enumerate(self.facts)}
        rows = [values[place[f]] if f in place else np.full(len(self.levels), np.nan) for f in facts]
        return np.array(rows).reshape(len(facts), len(self.levels))

    def as_json(self) -> dict[str, Any]:
        """JSON-ready; NaN is None."""
        tables = {score: {v: _plain(values) for v, values in getattr(self, score).items()} for score in SCORES}
        return {
            "format": FORMAT,
            "facts": list(self.facts),
            "subjects": list(self.subjects),
            "levels": list(self.levels),
            "chance": self.chance.tolist(),
            **tables,
            "left_out": dict(self.left_out),
        }

    def save(self, path: Path | str) -> Path:
        return write_json(path, self.as_json(), private=True)

    @classmethod
    def load(cls, path: Path | str) -> Reconstruction:
        """Read what `save` wrote; `InputError` for anything else."""
        data = validate(ReconstructionFile, read_json(path, BROKEN), str(path), BROKEN)
        size = (len(data.facts), len(data.levels))
        try:
            tables = {
                score: {v: np.array(rows, dtype=np.float64).reshape(size) for v, rows in getattr(data, score).items()}
                for score in SCORES
            }
        except ValueError as error:
            raise InputError(str(path), "has tables of another size than its facts and levels", BROKEN) from error
        return cls(
            facts=tuple(data.facts),
            subjects=tuple(data.subjects),
            levels=tuple(data.levels),
            chance=np.array(data.chance, dtype=np.float64),
            left_out=data.left_out,
            **tables,
        )


def _plain(values: Values) -> list[list[float | None]]:
    return [[None if np.isnan(x) else round(float(x), 6) for x in row] for row in values]
