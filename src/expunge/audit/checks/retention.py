"""Retention: what the model still knows of records that must stay and that the run never used.

After over before, by place in the tree; the smaller of the ratio in exact answers and in answer probability
counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from expunge.audit.check_result import CheckResult, Control, JudgedRule, ReferenceValue
from expunge.audit.context import Context, check
from expunge.audit.metrics.retention_rates import retention as ratio
from expunge.audit.metrics.retention_rates import retention_area
from expunge.audit.statistics import Interval
from expunge.audit.verdict import judge_retention

RELATIONS = ("siblings", "cousins", "same_attribute", "unrelated", "ancestors", "descendants")
KEYS = tuple(f"retention.{name}" for name in ("retain_heldout", "same_institution", "elsewhere", "shared", *RELATIONS))


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


def _entry(ctx: Context, key: str, name: str, ids: Sequence[str]) -> CheckResult:
    if not ids:
        return CheckResult(key=key, status="not_applicable", reason="there are no such records")
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
        return CheckResult(
            key=key, status="not_applicable", reason="the original model knew none of these records", n_records=len(ids)
        )
    margin = ctx.margin(key, 0.95)
    status, reason = judge_retention(worst.estimate, worst.low, margin)
    return CheckResult.measured(
        key,
        status,
        worst,
        f"by {metric}; {reason}" if reason else f"by {metric}",
        controls=tuple(controls),
        reference=ReferenceValue(role="original", estimate=1.0),
        rule=JudgedRule(id="retention", margin=margin),
    )


@check("retention", *KEYS)
def retention(ctx: Context) -> Iterator[CheckResult]:
    """What stayed: retain_heldout records by relation and distance, and shared facts of the target."""
    split = ctx.split
    names = {r.row_id: r.id for r in split.retain_heldout}
    retain_heldout = list(names)
    inside = [i for i in retain_heldout if names[i] in split.same_institution]
    yield _entry(ctx, "retention.retain_heldout", "retain_heldout", retain_heldout)
    yield _entry(ctx, "retention.same_institution", "retain_heldout", inside)
    yield _entry(
        ctx,
        "retention.elsewhere",
        "retain_heldout",
        [i for i in retain_heldout if names[i] not in split.same_institution],
    )
    yield _entry(ctx, "retention.shared", "shared", [r.row_id for r in split.shared])
    for relation in RELATIONS:
        yield _entry(
            ctx,
            f"retention.{relation}",
            "retain_heldout",
            [i for i in retain_heldout if split.relation.get(names[i]) == relation],
        )
    _curve(ctx, names)


def _curve(ctx: Context, names: Mapping[str, str]) -> None:
    """Retention against tree distance, for the report."""
    far = {row: ctx.split.tree_distance.get(name) for row, name in names.items()}
    distances = sorted({d for d in far.values() if d is not None})
    rows: list[dict[str, Any]] = []
    for d in distances:
        ids = [i for i in names if far[i] == d]
        found = measured(ctx, "retain_heldout", ids)
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
