"""The same seed again: how far a second run of an arm lies from the first, beside how far seeds lie apart.

The second run is an arm of its own with `tuned_as` and another number of `threads`, so sums are rounded in another
order. A difference between arms that is no larger than this one is noise.
"""

from __future__ import annotations

import math
from typing import Any

from expunge.bench.analysis import Cells, by_seed, mean, round6
from expunge.bench.measures.base import Study, measure


def repeat_gap(first: Cells, again: Cells, column: str) -> float | None:
    """Mean over requests and seeds of |again - first|."""
    gaps = [
        abs(value - other)
        for request, of_seeds in first.items()
        for seed, of in of_seeds.items()
        if (value := of.get(column)) is not None
        and (other := again.get(request, {}).get(seed, {}).get(column)) is not None
    ]
    return mean(gaps)


def seed_spread(cells: Cells, column: str) -> float | None:
    """Standard deviation over seeds of the mean over requests; None for a single seed."""
    values = list(by_seed(cells, column).values())
    if len(values) < 2:
        return None
    middle = sum(values) / len(values)
    return math.sqrt(sum((v - middle) ** 2 for v in values) / (len(values) - 1))


@measure("run_to_run", needs="study")
def run_to_run(study: Study) -> dict[str, Any]:
    """`run_to_run`: column to `again` and `seeds`; options: the arm `first`, its repetition `again`, `columns`."""
    options = study.experiment.options["run_to_run"]
    first, again = (study.columns.get(options[name]) for name in ("first", "again"))
    if first is None or again is None:
        return {"run_to_run": {}}
    return {
        "run_to_run": {
            column: {"again": round6(repeat_gap(first, again, column)), "seeds": round6(seed_spread(first, column))}
            for column in options["columns"]
        }
    }
