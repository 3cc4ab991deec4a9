"""Columns of a model at one level: the three tasks, who leaks, who keeps, by relation and by distance in the tree.

Surprising: MedForget reports retain - forget per task. A model that never met the target has such a difference too,
and where its answers can be read off a picture it is smaller than 1; so every figure stands beside that model's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from expunge.audit.metrics.answer_prob import probability
from expunge.audit.metrics.exact_match import matches
from expunge.audit.reconstruction import Reconstruction
from expunge.audit.reconstruction.prompts import TRUE, WRONG
from expunge.audit.scores import Values
from expunge.audit.statistics import bootstrap_ratio
from expunge.bench.concepts.cell import Sets
from expunge.bench.concepts.measure import Scored, by_kind
from expunge.corpus import Record

Columns = dict[str, float | None]
TASKS = ("generation", "classification", "cloze")
RELATIONS = ("siblings", "same_attribute", "cousins", "unrelated", "ancestors")
KEYS = tuple(f"{part}_{task}" for part in ("forget", "retain", "gap", "excess") for task in TASKS)
ATTACKED = ("top1", "top1_level0", "gain", "lead", "top1_excess", "gain_excess")


def by_task(found: Scored, sets: Sets) -> Columns:
    """forget_…, retain_… : exact answers; gap_… : retain - forget, as MedForget prints it (there with ROUGE-L)."""
    columns: Columns = {}
    for name, records, scores in (
        ("forget", sets.forget, found.forget),
        ("retain", sets.retain_heldout, found.retain_heldout),
    ):
        shares = by_kind(matches(scores, tuple(records)), records)
        columns |= {f"{name}_{task}": shares.get(task) for task in TASKS}
    return columns | {f"gap_{task}": _minus(columns[f"retain_{task}"], columns[f"forget_{task}"]) for task in TASKS}


def by_relation(found: Scored, original: Scored, sets: Sets) -> Columns:
    """keep_… : retain_heldout records of a relation, after over before, the smaller of exact answers and probability."""
    names = np.array([sets.split.relation.get(r.id, "") for r in sets.retain_heldout])
    return {
        f"keep_{relation}": _kept(found, original, sets.retain_heldout, names == relation) for relation in RELATIONS
    }


def by_distance(found: Scored, original: Scored, sets: Sets) -> dict[str, Any]:
    """Tree distance → {kept, low, high}: exact answers after over before, intervals over patients."""
    records = tuple(sets.retain_heldout)
    place = np.array([sets.split.tree_distance.get(r.id, -1) for r in records])
    after, before = (matches(s.retain_heldout, records).astype(float) for s in (found, original))
    people = np.array([r.subject or r.id for r in records], dtype=object)
    curve: dict[str, Any] = {}
    for d in sorted(set(place.tolist()) - {-1}):
        mine = place == d
        kept = bootstrap_ratio(after[mine], before[mine], people[mine].tolist())
        ends = {"kept": kept.estimate, "low": kept.low, "high": kept.high}
        curve[str(d)] = {k: v if v is not None and math.isfinite(v) else None for k, v in ends.items()} | {
            "n": int(mine.sum())
        }
    return curve


def by_attack(found: Reconstruction) -> Columns:
    """With full context: true answer first among candidates; gain over the question alone; lead over a wrong branch."""
    true, wrong = found.of("top1", TRUE), found.of("top1", WRONG)
    last = _deepest(true)
    return {
        "top1": _mean(last),
        "top1_level0": _mean(true[:, 0]),
        "gain": _mean(last - true[:, 0]),
        "lead": _mean(last - _deepest(wrong)),
    }


def beside(own: Mapping[str, float | None], retrained: Mapping[str, float | None]) -> Columns:
    """What is above the retrained model: per task, their worst (`leak`), and under the attack."""
    excess = {f"excess_{task}": _minus(own[f"forget_{task}"], retrained[f"forget_{task}"]) for task in TASKS}
    there = [v for v in excess.values() if v is not None]
    return excess | {
        "leak_excess": max(there) if there else None,
        "top1_excess": _minus(own["top1"], retrained["top1"]),
        "gain_excess": _minus(own["gain"], retrained["gain"]),
    }


def _deepest(values: Values) -> Values:
    """Of each fact the value at the last level that it was asked at, NaN where it was asked at none."""
    out = np.full(len(values), np.nan)
    for level in range(values.shape[1]):
        out = np.where(np.isfinite(values[:, level]), values[:, level], out)
    return out


def _kept(found: Scored, original: Scored, records: Sequence[Record], mine: np.ndarray) -> float | None:
    pairs = [
        (f(found.retain_heldout), f(original.retain_heldout))
        for f in (lambda s: matches(s, tuple(records)).astype(float), probability)
    ]
    if not mine.any() or any(before[mine].sum() <= 0 for _, before in pairs):
        return None
    return min(float(after[mine].sum() / before[mine].sum()) for after, before in pairs)


def _mean(values: Values) -> float | None:
    found = float(np.nanmean(values)) if np.isfinite(values).any() else math.nan
    return found if math.isfinite(found) else None


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b
