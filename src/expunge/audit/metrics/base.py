"""Metrics: pure functions from scores to one value per record, with their direction and reference.

NaN means that a metric does not apply to a record, and nothing else: `Scores` refuses values that are not numbers, so
that no failure of a model is averaged away as a missing value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from inspect import cleandoc
from typing import Literal

import numpy as np

from expunge._registry import Registry
from expunge.audit.scores import Scores, Values
from expunge.corpus import KINDS, Record
from expunge.errors import InputError

Records = tuple[Record, ...]
Compute = Callable[[Scores, Records], Values]
Floor = Literal["retrained", "controls", "chance", "original", "vocabulary"]

METRICS: Registry[Metric] = Registry("metric", "expunge.audit.metrics")


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        key: Name in the registry.
        compute: (scores, records in the same order) to values [N], NaN where it does not apply.
        forgotten: Direction in which a forget record counts as more forgotten.
        floor: What shows the value without knowledge: a retrained model, never-trained controls, chance and so on.
        kinds: Record kinds it applies to; values of all others are NaN.
        pool: One number for a set of records where that is not the mean of the values, else None.
    """

    key: str
    compute: Compute
    forgotten: Literal["lower", "higher"] = "lower"
    floor: Floor = "retrained"
    kinds: frozenset[str] = frozenset(KINDS)
    pool: Compute | None = None

    @property
    def description(self) -> str:
        """The docstring of the function."""
        return cleandoc(self.compute.__doc__ or "")

    @property
    def about(self) -> str:
        """First line of the description."""
        return self.description.split("\n")[0]

    def __call__(self, scores: Scores, by_id: Mapping[str, Record]) -> Values:
        """Values [N] in the order of `scores`; records are joined by id, never by position."""
        records = join(scores, by_id)
        values = np.asarray(self.compute(scores, records), dtype=np.float64)
        if values.shape != (len(scores),):
            raise ValueError(f'metric "{self.key}" gave shape {values.shape} for {len(scores)} records')
        applies = np.fromiter((r.kind in self.kinds for r in records), dtype=bool, count=len(records))
        return np.where(applies, values, np.nan)

    def summary(self, scores: Scores, by_id: Mapping[str, Record]) -> float:
        """One number for the set; NaN if the metric applies to none of its records."""
        values = self(scores, by_id)
        usable = [i for i, value in zip(scores.ids, values, strict=True) if not np.isnan(value)]
        if not usable:
            return float("nan")
        if self.pool is None:
            return float(np.nanmean(values))
        part = scores.select(usable)
        return float(self.pool(part, join(part, by_id)))


def metric(key: str, **about: object) -> Callable[[Compute], Metric]:
    """Decorator: register a function as the metric `key`; `about` are further fields of `Metric`."""
    return lambda compute: METRICS.add(key, Metric(key, compute, **about))  # type: ignore[arg-type]


def join(scores: Scores, by_id: Mapping[str, Record]) -> Records:
    """The records of the scores, in their order; `InputError` for a score whose record is unknown."""
    for name in scores.ids:
        if name not in by_id:
            raise InputError("scores", f'record "{name}" is not in the corpus', "score this corpus again")
    return tuple(by_id[name] for name in scores.ids)


def per_record(values: Iterable[float]) -> Values:
    """The values as a float64 array [N]."""
    return np.fromiter(values, dtype=np.float64)
