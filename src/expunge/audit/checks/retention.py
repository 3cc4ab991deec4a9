"""Retention: what the model still knows of the retain set, held out and given, by its place beside the target."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from expunge._binomial import clopper_pearson, zero_hit_bound
from expunge.audit.check_result import CheckResult, Control, IntervalEstimate, JudgedRule, ReferenceValue
from expunge.audit.context import CheckOutput, CheckProfile, Context, Role, check, mean
from expunge.audit.details import CurvePoint, RelationRetention, RetentionDetails, TreeNode, TreeRetention
from expunge.audit.metrics.verbatim_run import LONG
from expunge.audit.record_sets import TEXT, TURN
from expunge.audit.statistics import Interval, Values, bootstrap_ratio
from expunge.audit.text_normalization import normalize
from expunge.audit.tree_positions import tree_levels, tree_positions
from expunge.audit.verdict import judge_retention

RELATIONS = ("siblings", "cousins", "same_attribute", "unrelated", "ancestors", "descendants")
SETS = ("retain_heldout", "same_institution", "elsewhere", "shared", "retain")
KEYS = tuple(f"retention.{name}" for name in (*SETS, *RELATIONS, "text"))
BY_TOKENS, BY_TEXT = ("exact_match", "answer_prob"), ("exact_match", "rouge_l_recall")
MARGIN = 0.95  # where the policy has no rule
MOST_LOST = 0.5  # share of what was known that a pass must rule out to be lost
KNOWN_LONG = 0.5  # ROUGE-L recall, or longest run, from which on the original model counts as knowing long answers
PROFILE = CheckProfile(
    title="Retention: what must stay is still known",
    family="retention",
    control="the original model",
    cost="1 scoring pass over held-out retained records, and over 64 that the run was given",
    limits="Abilities beyond the records are not measured, nor a loss of few subjects who are not asked about.",
)


@check("retention", *KEYS, profile=PROFILE)
def retention(ctx: Context) -> CheckOutput:
    """What the unlearned model knows of records that must stay, most of which no method was given.

    Retention is the ratio of sums, Σ unlearned / Σ original, over the records of one relation to the target (siblings,
    cousins and so on), by exact match and by answer probability; the one with the smaller lower bound counts. 1 is as
    before; more than 1 is possible. `retention.retain` is the same of at most 64 records that the run was given, one of
    each subject before a second of any: held-out records are of few subjects, and a model may be ruined for all others.
    `retention.text` is the same of the greedy text of at most 64 of these records, by
    exact match and by ROUGE-L, since figures by tokens do not see what the model writes; where none is held out, of
    records that the method was given. Inconclusive where the original model gives at most the policy's `known_margin`
    of the records, or, of answers of more than 20 tokens, less than half by ROUGE-L or by the longest run; and where
    one answer fits so many of the texts that a model of constant output would pass. Where nothing is lost of n records
    that the original model gives, a share of 1 - (1 - level)^(1/n) may still be lost elsewhere; a pass needs records
    enough to rule out that half is: 5 at the level of 95 %. A loss fails if the interval over subjects lies beyond the
    margin, or, of few subjects, the bound over records; a smaller one is inconclusive.
    """
    split = ctx.split
    heldout = {r.row_id: r.id for r in split.retain_heldout}
    same = [i for i, name in heldout.items() if name in split.same_institution]
    groups: dict[str, tuple[str, Sequence[str]]] = {
        "retain_heldout": ("retain_heldout", list(heldout)),
        "same_institution": ("retain_heldout", same),
        "elsewhere": ("retain_heldout", [i for i in heldout if i not in set(same)]),
        "shared": ("shared", [r.row_id for r in split.shared]),
        "retain": (TURN, [] if (turn := ctx.scores["unlearned"].get(TURN)) is None else list(turn.ids)),
        **{
            relation: ("retain_heldout", [i for i, name in heldout.items() if split.relation.get(name) == relation])
            for relation in RELATIONS
        },
    }
    results, by_relation = [], {}
    for relation, (name, ids) in groups.items():
        key = f"retention.{relation}"
        if not ids:
            results.append(CheckResult(key=key, status="not_applicable", reason="there are no such records"))
            continue
        intervals = retention_by_metric(ctx, name, ids)
        results.append(_result(ctx, key, name, ids, intervals))
        by_relation[relation] = _relation(intervals)
    results.append(_text_result(ctx))
    curve = _curve(ctx, heldout)
    known = {p.distance: p.exact_match.estimate for p in curve if p.exact_match.estimate is not None}
    details = RetentionDetails(by_relation=by_relation, curve=curve, area=retention_area(known), tree=tree(ctx))
    return CheckOutput(results, details)


def retention_by_metric(
    ctx: Context, name: str, ids: Sequence[str], role: Role = "unlearned", metrics: Sequence[str] = BY_TOKENS
) -> dict[str, Interval]:
    """Retention of these records of a set by each metric."""
    subjects = ctx.subjects(ids)
    return {
        metric: bootstrap_ratio(
            ctx.values(metric, role, name, ids),
            ctx.values(metric, "original", name, ids),
            subjects,
            ctx.policy.bootstrap,
        )
        for metric in metrics
    }


def retention_area(curve: Mapping[int, float]) -> float:
    """Area under retention against tree distance, divided by the span; the value itself for one distance."""
    if not curve:
        return float("nan")
    d, r = np.array(sorted(curve.items()), dtype=np.float64).T
    return float(r[0]) if len(d) == 1 else float(np.trapezoid(r, d) / (d[-1] - d[0]))


def smaller(intervals: Mapping[str, Interval]) -> str:
    """The metric that counts: the one with the smaller lower bound, of those that are defined if any is."""
    defined = [m for m, v in intervals.items() if np.isfinite(v.estimate)]
    return min(defined or intervals, key=lambda m: intervals[m].lower)


def _result(ctx: Context, key: str, name: str, ids: Sequence[str], intervals: Mapping[str, Interval]) -> CheckResult:
    if reason := _without_power(ctx, name, ids):
        return CheckResult(key=key, status="inconclusive", reason=reason, n_records=len(ids))
    metric = smaller(intervals)
    worst = intervals[metric]
    controls = [Control(key=m, estimate=v.estimate, ci=(v.low, v.high)) for m, v in intervals.items()]
    if "retrained" in ctx.roles:
        control = retention_by_metric(ctx, name, ids, "retrained", ("exact_match",))["exact_match"]
        controls.append(Control(key="retrained.exact_match", estimate=control.estimate, ci=(control.low, control.high)))
    margin = ctx.margin(key, MARGIN)
    status, reason = judge_retention(worst.estimate, worst.low, margin, worst.high)
    if status == "passed" and (few := _too_few(ctx, name, ids)):
        status, reason = "inconclusive", few
    if status == "failed" and worst.high is None and (few := _may_be_kept(ctx, name, ids, worst.estimate, margin)):
        status, reason = "inconclusive", f"{reason}; {few}"
    return CheckResult.measured(
        key,
        status,
        worst,
        f"by {metric}; {reason}" if reason else f"by {metric}",
        controls=tuple(controls),
        reference=ReferenceValue(role="original", estimate=1.0),
        rule=JudgedRule(id="retention", margin=margin),
    )


def _without_power(ctx: Context, name: str, ids: Sequence[str]) -> str:
    """Why nothing can be said of the retention of these records, which the original model hardly knew; "" if it did."""
    known, enough = _known(ctx, name, ids)
    if enough:
        return ""
    return f"the original model gives {mean(known):.1%} of these records, too few to say anything of their retention"


def _known(ctx: Context, name: str, ids: Sequence[str]) -> tuple[Values, bool]:
    """How far the original model gives each of these records, [N], and whether that is enough to speak of retention.

    By exact match; where it gives too few so and all answers are long, by ROUGE-L or by the longest run.
    """
    scores = ctx.scores["original"][name].select(ids)
    exact = ctx.values("exact_match", "original", name, ids)
    if (enough := mean(exact) > ctx.policy.known_margin) or not (scores.length > LONG).all():
        return exact, enough
    values = ctx.values("verbatim_run" if scores.text is None else "rouge_l_recall", "original", name, ids)
    return values, mean(values) >= KNOWN_LONG


def _too_few(ctx: Context, name: str, ids: Sequence[str]) -> str:
    """Why the records that the original model gave are too few for a pass, though none of them was lost; "" if not."""
    n = int((_known(ctx, name, ids)[0] >= KNOWN_LONG).sum())
    bound = zero_hit_bound(n, ctx.policy.bootstrap.level)
    if bound <= MOST_LOST:
        return ""
    records = "1 record" if n == 1 else f"{n} records"
    return f"too little data: with {records} that the original model gives, {bound:.0%} may be lost unseen"


def _may_be_kept(ctx: Context, name: str, ids: Sequence[str], estimate: float, margin: float) -> str:
    """Why a loss among these records is too small to show one above the margin; "" if it is not.

    Without an interval over subjects, by the upper bound of Clopper and Pearson over the records that were known.
    """
    n = int((_known(ctx, name, ids)[0] >= KNOWN_LONG).sum())
    if not n:
        return ""
    high = clopper_pearson(round(max(0.0, estimate) * n), n, ctx.policy.bootstrap.level)[1]
    return "" if high < margin else f"too little data: of {n} records that were known, up to {high:.1%} may be kept"


def _text_result(ctx: Context) -> CheckResult:
    scores = ctx.scores["unlearned"].get(TEXT)
    if scores is None or not len(scores):
        return CheckResult(key="retention.text", status="not_applicable", reason="there are no such records")
    ids = list(scores.ids)
    result = _result(ctx, "retention.text", TEXT, ids, retention_by_metric(ctx, TEXT, ids, metrics=BY_TEXT))
    heldout = len(ctx.split.retain_heldout)
    whole = f"{heldout} held-out records" if heldout else f"{len(ctx.split.retain)} records that the method was given"
    answers = Counter(normalize(ctx.records[i].answer) for i in ids)
    count = answers.most_common(1)[0][1]
    if result.status == "passed" and count >= ctx.margin("retention.text", MARGIN) * len(ids):
        reason = f"{count} of {len(ids)} answers are the same, so a model of constant output would pass"
        result = result.model_copy(update={"status": "inconclusive", "reason": reason})
    return result.model_copy(update={"reason": f"greedy text of {len(ids)} of {whole}; {result.reason}"})


def _relation(intervals: Mapping[str, Interval]) -> RelationRetention:
    metric = smaller(intervals)
    worst = intervals[metric]
    return RelationRetention.of(
        worst,
        n_records=worst.n_records,
        n_subjects=worst.n_subjects,
        metric=metric,
        exact_match=intervals["exact_match"].estimate,
        answer_prob=intervals["answer_prob"].estimate,
    )


def _curve(ctx: Context, heldout: Mapping[str, str]) -> tuple[CurvePoint, ...]:
    """Retention at each tree distance; `heldout` maps row ids to record ids."""
    distance = {row: d for row, name in heldout.items() if (d := ctx.split.tree_distance.get(name)) is not None}
    points = []
    for d in sorted(set(distance.values())):
        ids = [row for row in distance if distance[row] == d]
        intervals = retention_by_metric(ctx, "retain_heldout", ids)
        values = {metric: IntervalEstimate.of(v) for metric, v in intervals.items()}
        n_subjects = intervals["exact_match"].n_subjects
        points.append(CurvePoint(distance=d, n_records=len(ids), n_subjects=n_subjects, **values))
    return tuple(points)


def tree(ctx: Context) -> TreeRetention | None:
    """Retention at each position of the tree around the target; None where the target stands in no tree."""
    nodes = ctx.split.nodes
    if not nodes:
        return None
    positions = []
    for position, ids in tree_positions(ctx.split):
        intervals = retention_by_metric(ctx, "retain_heldout", ids)
        metric = smaller(intervals)
        worst = intervals[metric]
        positions.append(
            TreeNode(
                **position._asdict(),
                metric=metric,
                retention=IntervalEstimate.of(worst),
                n_records=worst.n_records,
                n_subjects=worst.n_subjects,
            )
        )
    return TreeRetention(way=tree_levels(nodes), targets=len(nodes), nodes=tuple(positions))
