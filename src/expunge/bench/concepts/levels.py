"""What a model still says, level by level: of the chapter that a run was given, and of records it never saw.

Surprising: nothing is asked here. The passes that `measure.Scored` keeps hold every answer; this only divides them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from expunge.audit.metrics.answer_prob import probability
from expunge.audit.metrics.exact_match import matches
from expunge.audit.scores import Scores, Values
from expunge.bench.concepts.cell import Sets
from expunge.bench.concepts.effects import Units
from expunge.bench.concepts.measure import Scored
from expunge.corpus import Record
from expunge.corpus.record import LEVELS

MEASURES: Mapping[str, Callable[[Scores, Sequence[Record]], Values]] = {
    "exact": lambda scores, records: matches(scores, tuple(records)),
    "probability": lambda scores, records: probability(scores),
}
PARTS = ("chapter", "retain_heldout")


@dataclass(frozen=True)
class Reading:
    """What one model says.

    columns   `<part>_<measure>_<level>` → mean over records
    concepts  of the chapter alone: (measure, level) → concept → mean over its records
    """

    columns: Mapping[str, float | None]
    concepts: Mapping[tuple[str, str], Units]


def column(part: str, measure: str, level: str) -> str:
    return f"{part}_{measure}_{level}"


def reading(found: Scored, sets: Sets) -> Reading:
    """One model of a cell whose target is a whole chapter; None where there is no record of a level."""
    columns: dict[str, float | None] = {}
    concepts: dict[tuple[str, str], Units] = {}
    asked = (("chapter", found.forget, sets.forget), ("retain_heldout", found.retain_heldout, sets.retain_heldout))
    for part, scores, records in asked:
        of_level = np.array([r.concept for r in records])
        for measure, of in MEASURES.items():
            values = of(scores, records)
            for level in LEVELS:
                mine = np.flatnonzero(of_level == level)
                columns[column(part, measure, level)] = float(values[mine].mean()) if len(mine) else None
                if part == "chapter":
                    concepts[measure, level] = by_subject(values[mine], [records[k] for k in mine.tolist()])
    return Reading(columns, concepts)


def by_subject(values: Values, records: Sequence[Record]) -> dict[str, float]:
    """subject → mean of `values` [N] over its records, sorted by subject."""
    groups: dict[str, list[float]] = {}
    for value, record in zip(values.tolist(), records, strict=True):
        groups.setdefault(record.subject, []).append(value)
    return {subject: sum(of) / len(of) for subject, of in sorted(groups.items())}
