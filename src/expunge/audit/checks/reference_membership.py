"""Membership calibrated by a reference model: how much likelier is a record than on a model that never saw it?

Some answers are likely to every model. An attacker with a reference model takes that off: the score of a record is its
log-probability less that on the reference. A record of a person who is forgotten has no more of a lead than one of a
person whom neither model met. The share of those whom it leads is the score of RMIA at even odds, whose mean is the
AUC.
"""

from __future__ import annotations

from dataclasses import replace

from expunge.audit.check_result import CheckResult, JudgedRule, ReferenceValue
from expunge.audit.checks.membership import MARGIN, control_ranks, member_scores, nonmembers
from expunge.audit.context import CheckOutput, CheckProfile, Context, Role, check
from expunge.audit.matched_controls import ControlRank
from expunge.audit.scores import Values
from expunge.audit.statistics import Interval, auc_intervals
from expunge.audit.verdict import Judgement, judge_excess

KEY = "mia_reference"
PROFILE = CheckProfile(
    title="Membership with a reference model: the records have no lead over those of people whom no model met",
    family="membership",
    control="matched controls, else the holdout; the retrained model is the reference",
    cost="none: arithmetic on the scoring pass",
    limits="One reference model; an attacker with many calibrates better. Without a retrained model it does not apply.",
    source="Zarifzadeh et al. 2024 (arXiv 2312.03262), RMIA; Watson et al. 2022 (arXiv 2111.08440)",
)


@check("reference_membership", KEY, profile=PROFILE)
def reference_membership(ctx: Context) -> CheckOutput:
    """Membership inference by log-probabilities less those of the retrained model.

    A few subjects are ranked by their mean lead among their controls, many by the AUC of the leads against records that
    no model was trained on. The same test must find them on the original model.
    """
    if "retrained" not in ctx.roles:
        reason = "it compares with a retrained model, and there is none"
        return CheckOutput([CheckResult(key=KEY, status="not_applicable", reason=reason)])
    if not nonmembers(ctx)[1]:
        reason = "there are no never-trained records to compare with"
        return CheckOutput([CheckResult(key=KEY, status="inconclusive", reason=reason)])
    return CheckOutput([_ranked(ctx) if ctx.is_small_sample else _compared(ctx)])


def judge_leads(
    ours: dict[str, ControlRank], original: dict[str, ControlRank], percentile: float, min_controls: int
) -> Judgement:
    """Failed if a subject's lead is above this percentile of its controls' leads; it needs `min_controls` of them.

    Inconclusive where a subject does not lead all its controls on the original model.
    """
    if short := sorted(name for name, rank in ours.items() if rank.m < min_controls):
        return Judgement("inconclusive", f"few subjects: {short[0]} has fewer than {min_controls} controls")
    if above := sorted(name for name, rank in ours.items() if rank.exceeds(percentile)):
        what = f"few subjects: {', '.join(above)} above the {percentile:g}th percentile of the controls"
        return Judgement("failed", what)
    if powerless := sorted(name for name, rank in original.items() if not rank.above_all):
        what = f"few subjects: no power, on the original model {powerless[0]} does not lead all controls"
        return Judgement("inconclusive", what)
    rank = min(ours.values(), key=lambda one: one.p)
    return Judgement("passed", f"few subjects: rank among {rank.m} controls, p {rank.p:.3f}")


def _ranked(ctx: Context) -> CheckResult:
    ours, original = (control_ranks(ctx, role, "retrained", ("loss",)) for role in ("unlearned", "original"))
    about = {"key": KEY, "n_records": len(ctx.split.forget), "n_subjects": len(ctx.split.targets)}
    if set(ours) != set(ctx.split.targets):
        reason = "few subjects: not every subject has never-trained controls"
        return CheckResult.model_validate({**about, "status": "inconclusive", "reason": reason})
    rule = ctx.policy.matched_controls
    judged = judge_leads(ours, original, rule.percentile, rule.controls)
    worst = max(ours.values(), key=lambda one: one.highest)
    return CheckResult(
        key=KEY,
        n_records=len(ctx.split.forget),
        n_subjects=len(ctx.split.targets),
        status=judged.status,
        reason=judged.reason,
        estimate=worst.highest,
        p=min(one.p for one in ours.values()),
        power=all(one.above_all for one in original.values()),
        ci_method="rank among controls",
        reference=ReferenceValue(role="controls", estimate=0.0),
        rule=JudgedRule(id="matched_controls", margin=rule.percentile),
    )


def _leads(ctx: Context, role: Role, name: str, ids: list[str]) -> Values:
    """Log-probability per token of each row [N] less that on the retrained model, nats."""
    return member_scores(ctx, "loss", role, name, ids) - member_scores(ctx, "loss", "retrained", name, ids)


def _auc(ctx: Context, role: Role) -> Interval:
    name, others = nonmembers(ctx)
    members = list(ctx.trained_wording)
    ours, theirs = (_leads(ctx, role, of, ids)[:, None] for of, ids in (("forget", members), (name, others)))
    return auc_intervals(ours, theirs, ctx.subjects(members), ctx.subjects(others), ctx.policy.bootstrap)[0]


def _compared(ctx: Context) -> CheckResult:
    now, before, margin = _auc(ctx, "unlearned"), _auc(ctx, "original"), ctx.margin(KEY, MARGIN)
    low, high = (None if bound is None else bound - 0.5 for bound in (now.low, now.high))
    excess = replace(now, estimate=now.estimate - 0.5, low=low, high=high)
    status, reason = judge_excess(excess.estimate, excess.high, margin, excess.low)
    if not (power := before.lower > 0.5):
        status, reason = "inconclusive", "no power: the leads on the original model do not tell the records"
    return CheckResult.measured(
        KEY,
        status,
        excess,
        reason,
        reference=ReferenceValue(role="controls", estimate=0.5),
        power=power,
        rule=JudgedRule(id="excess", margin=margin),
    )
