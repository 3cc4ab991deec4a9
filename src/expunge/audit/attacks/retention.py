"""Retention: what the model still knows of records that must stay and that the run never used.

After over before, by place in the tree; the smaller of the ratio in exact answers and in answer probability
counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from expunge.audit.context import Context, attack
from expunge.audit.entry import Control, Entry, Reference, Rule
from expunge.audit.metrics.hierarchy import retention as ratio
from expunge.audit.metrics.hierarchy import retention_area
from expunge.audit.statistics import Interval
from expunge.audit.verdict import judge_retention

RELATIONS = ("siblings", "cousins", "same_attribute", "unrelated", "ancestors", "descendants")
KEYS = tuple(f"retention.{name}" for name in ("untouched", "same_institution", "elsewhere", "shared", *RELATIONS))


def measured(ctx: Context, name: str, ids: Sequence[str]) -> dict[str, Interval]:
    """Retention of these records of a set, by exact answers and by answer probability."""
    return {
        metric: ratio(
            ctx.values(metric, "unlearned", name, ids),
            ctx.values(metric, "original", name, ids),
            ctx.subjects(ids),
            ctx.policy.bootstrap,
        )
        for metric in ("exact_match", "answer_prob")
    }


def smaller(found: Mapping[str, Interval]) -> str:
    """The measure that counts: the one whose lower bound is smaller."""
    return min(found, key=lambda m: found[m].lower)


def _entry(ctx: Context, key: str, name: str, ids: Sequence[str]) -> Entry:
    if not ids:
        return Entry(key=key, status="not_applicable", reason="there are no such records")
    found = measured(ctx, name, ids)
    metric = smaller(found)
    worst = found[metric]
    controls = [Control(key=m, estimate=v.estimate, ci=(v.low, v.high)) for m, v in found.items()]
    if "retrained" in ctx.roles:
        control = ratio(
            ctx.values("exact_match", "retrained", name, ids),
            ctx.values("exact_match", "original", name, ids),
            ctx.subjects(ids),
            ctx.policy.bootstrap,
        )
        controls.append(Control(key="retrained.exact_match", estimate=control.estimate, ci=(control.low, control.high)))
    ctx.notes.setdefault("retention", {})[key.removeprefix("retention.")] = {
        "estimate": worst.estimate,
        "ci": [worst.low, worst.high],
        "n_records": worst.n_records,
        "n_subjects": worst.n_subjects,
        "metric": metric,
        **{m: v.estimate for m, v in found.items()},
    }
    if not np.isfinite(worst.estimate):
        return Entry(
            key=key, status="not_applicable", reason="the original model knew none of these records", n_records=len(ids)
        )
    margin = ctx.margin(key, 0.95)
    status, reason = judge_retention(worst.estimate, worst.low, margin)
    return Entry.measured(
        key,
        status,
        worst,
        f"by {metric}; {reason}" if reason else f"by {metric}",
        controls=tuple(controls),
        reference=Reference(role="original", estimate=1.0),
        rule=Rule(id="retention", margin=margin),
    )


@attack("retention", *KEYS)
def retention(ctx: Context) -> Iterator[Entry]:
    """What stayed: untouched records by relation and distance, and shared facts of the target."""
    split = ctx.split
    untouched = [r.id for r in split.untouched]
    inside = [i for i in untouched if i in split.same_institution]
    yield _entry(ctx, "retention.untouched", "untouched", untouched)
    yield _entry(ctx, "retention.same_institution", "untouched", inside)
    yield _entry(ctx, "retention.elsewhere", "untouched", [i for i in untouched if i not in split.same_institution])
    yield _entry(ctx, "retention.shared", "shared", [r.id for r in split.shared])
    for relation in RELATIONS:
        yield _entry(
            ctx, f"retention.{relation}", "untouched", [i for i in untouched if split.relation.get(i) == relation]
        )
    _curve(ctx, untouched)


def _curve(ctx: Context, untouched: Sequence[str]) -> None:
    """Retention against tree distance, for the report."""
    distances = sorted({ctx.split.tree_distance[i] for i in untouched if i in ctx.split.tree_distance})
    rows: list[dict[str, Any]] = []
    for d in distances:
        ids = [i for i in untouched if ctx.split.tree_distance.get(i) == d]
        found = measured(ctx, "untouched", ids)
        rows.append(
            {
                "distance": d,
                "n_records": len(ids),
                "n_subjects": found["exact_match"].n_subjects,
                **{m: {"estimate": v.estimate, "ci": [v.low, v.high]} for m, v in found.items()},
            }
        )
    known = {r["distance"]: r["exact_match"]["estimate"] for r in rows if np.isfinite(r["exact_match"]["estimate"])}
    ctx.notes["retention_curve"] = rows
    ctx.notes["retention_area"] = retention_area(known)
