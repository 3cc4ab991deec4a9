"""Columns by task, by relation to the target, and by distance in the provenance tree.

MedForget reports retain - forget per task. A model that never met the target has such a difference too, and where
answers can be read off an image it is smaller than 1; so every figure has that model's beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from expunge.audit.metrics.exact_match import matches
from expunge.audit.statistics import bootstrap_ratio as bootstrap_retention
from expunge.bench.analysis import entry, t_interval
from expunge.bench.measures.base import Columns, Study, measure, minus, round_columns
from expunge.bench.measures.core import mean_by_kind, original_scores, retention, scores_of
from expunge.bench.places import ModelPlace

TASKS = ("generation", "classification", "cloze")
RELATIONS = ("siblings", "same_attribute", "cousins", "unrelated", "ancestors")
PARTS = ("forget", "retain", "gap", "excess")
AGAINST = ("leak_excess", "top1_excess", "gain_excess", "gain", "retention", "keep_siblings", "keep_unrelated")


def _compare(models: Mapping[str, Columns], options: Mapping[str, Any]) -> dict[str, Columns]:
    """Excess of exact answers over the retrained model: per task, and the largest of them (`leak_excess`)."""
    never = models["retrained"]
    compared: dict[str, Columns] = {}
    for name, of in models.items():
        excess = {f"excess_{task}": minus(of[f"forget_{task}"], never[f"forget_{task}"]) for task in TASKS}
        there = [v for v in excess.values() if v is not None]
        compared[name] = excess | {"leak_excess": max(there) if there else None}
    return compared


def _summarize(study: Study) -> dict[str, Any]:
    curves: dict[str, Any] = {name: {} for name in study.columns}
    for place in study.places():
        curves[place.name].setdefault(str(place.cell.request), {})[str(place.cell.seed)] = by_distance(place)
    against = {
        name: {request: {c: _over_seeds(of_seeds, c) for c in AGAINST} for request, of_seeds in of.items()}
        for name, of in study.columns.items()
    }
    return {"curves": curves, "against": against}


def _over_seeds(of_seeds: Mapping[str, Columns], column: str) -> dict[str, Any]:
    values = [v for of in of_seeds.values() if (v := of.get(column)) is not None]
    return entry(sum(values) / len(values) if values else None, t_interval(values))


@measure(
    "tree",
    needs="stored",
    columns=(*(f"{p}_{t}" for p in PARTS for t in TASKS), *(f"keep_{r}" for r in RELATIONS), "leak_excess"),
    compare=_compare,
    summarize=_summarize,
)
def tree(place: ModelPlace) -> Columns:
    """Exact answers by task, and retention by relation.

    forget_, retain_  exact answers on the target and on held-out records; gap_: retain - forget, as MedForget has it
                      (there with ROUGE-L)
    keep_             held-out records of a relation, after over before
    """
    scored, sets = scores_of(place), place.sets
    columns: Columns = {}
    for name, records, scores in (("forget", sets.forget, scored.forget), ("retain", sets.heldout, scored.heldout)):
        shares = mean_by_kind(matches(scores, tuple(records)), records)
        columns |= {f"{name}_{task}": shares.get(task) for task in TASKS}
    columns |= {f"gap_{task}": minus(columns[f"retain_{task}"], columns[f"forget_{task}"]) for task in TASKS}
    relations = np.array([sets.split.relation.get(r.id, "") for r in sets.heldout])
    pair = scored.heldout, original_scores(place).heldout, sets.heldout
    return round_columns(columns | {f"keep_{r}": retention(*pair, relations == r) for r in RELATIONS})


def by_distance(place: ModelPlace) -> dict[str, Any]:
    """Tree distance to `{kept, low, high, n}`: exact answers after over before, intervals over subjects."""
    sets = place.sets
    records = tuple(sets.heldout)
    distance = np.array([sets.split.tree_distance.get(r.id, -1) for r in records])
    both = scores_of(place).heldout, original_scores(place).heldout
    after, before = (matches(scores, records).astype(float) for scores in both)
    subjects = np.array([r.subject or r.id for r in records], dtype=object)
    curve: dict[str, Any] = {}
    for d in sorted(set(distance.tolist()) - {-1}):
        mine = distance == d
        interval = bootstrap_retention(after[mine], before[mine], subjects[mine].tolist())
        limits = {"kept": interval.estimate, "low": interval.low, "high": interval.high}
        finite = {k: v if v is not None and math.isfinite(v) else None for k, v in limits.items()}
        curve[str(d)] = finite | {"n": int(mine.sum())}
    return curve
