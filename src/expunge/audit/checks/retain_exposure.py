"""Exposure of people who stay: does forgetting one person make others easier to recognize as trained on?

A method that repeats retained records, or that removes one person from a crowd, can raise the membership risk of
others. Retention does not see this: it asks whether the answers are still given, and more is never a loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from expunge.audit.check_result import CheckResult, Control, JudgedRule, ReferenceValue
from expunge.audit.checks.membership import MARGIN, member_scores, nonmembers
from expunge.audit.context import CheckOutput, CheckProfile, Context, Role, check, mean
from expunge.audit.membership_scores import auc_excess
from expunge.audit.record_sets import HELDOUT, TURN
from expunge.audit.scores import Values
from expunge.audit.statistics import auc
from expunge.audit.verdict import STATUS_ORDER, Judgement, judge_excess

KEY = "retain_exposure"
NEAR = ("siblings", "cousins", "same_attribute")
PROFILE = CheckProfile(
    title="Exposure of people who stay: nobody else is easier to recognize as trained on",
    family="membership",
    control="the original and the retrained model, whichever exposes more; matched controls, else the holdout",
    cost="none: arithmetic on the scoring pass",
    limits="An average over those who are asked. Where the original model shows membership plainly, no rise is seen.",
    source="Hayes et al. 2024 (arXiv 2403.01218); Carlini et al. 2022 (arXiv 2206.10469)",
)


@dataclass(frozen=True)
class _Members:
    """Records that stay: row ids by scored set."""

    sets: dict[str, list[str]]

    @classmethod
    def of(cls, ctx: Context) -> _Members:
        known = ctx.scores["unlearned"]
        return cls({name: list(known[name].ids) for name in (HELDOUT, TURN) if name in known and known[name].ids})

    @property
    def ids(self) -> list[str]:
        return [i for ids in self.sets.values() for i in ids]

    def scores(self, ctx: Context, score: str, role: Role) -> Values:
        """Values [N] of a membership score, in the order of `ids`."""
        parts = [member_scores(ctx, score, role, name, ids) for name, ids in self.sets.items()]
        return np.concatenate([np.zeros(0), *parts])


@check(KEY, KEY, profile=PROFILE)
def retain_exposure(ctx: Context) -> CheckOutput:
    """Membership inference against people who must stay, before and after.

    Members are the held-out retained records and at most 64 that the run was given, non-members those that no model was
    trained on. Judged is AUC(unlearned) less the larger of AUC(original) and AUC(retrained), paired, with an interval
    over subjects; of several scores the worst counts. Too few subjects for an interval are inconclusive. A score whose
    AUC leaves less room than the margin below 1 shows nothing and is left out. `near` are the AUCs of held-out
    siblings, cousins and records of the same attribute alone; `nats` the mean
    change of the log-probability per token since the original model.
    """
    members, (name, others) = _Members.of(ctx), nonmembers(ctx)
    if not members.ids or not others:
        missing = "records that stay" if not members.ids else "never-trained records to compare with"
        return CheckOutput([CheckResult(key=KEY, status="not_applicable", reason=f"there are no {missing}")])
    margin = ctx.margin(KEY, MARGIN)
    results = [
        result
        for score in ctx.policy.membership.scores
        if (result := _by_score(ctx, score, members, name, others, margin))
    ]
    if not results:
        reason = "on the models before, those who stay are told from others so well that nothing can be added"
        return CheckOutput([CheckResult(key=KEY, status="not_applicable", reason=reason, controls=_nats(ctx, members))])
    return CheckOutput([min(results, key=lambda r: (STATUS_ORDER.index(r.status), -(r.estimate or 0.0)))])


def _by_score(
    ctx: Context, score: str, members: _Members, name: str, others: Sequence[str], margin: float
) -> CheckResult | None:
    """The result by one membership score; None where its AUC has no room above the models before."""
    inside = {role: members.scores(ctx, score, role) for role in ctx.roles}
    outside = {role: member_scores(ctx, score, role, name, list(others)) for role in ctx.roles}
    aucs = {role: auc(inside[role], outside[role]) for role in ctx.roles}
    before = max((role for role in ctx.roles if role != "unlearned"), key=lambda role: aucs[role])
    if aucs[before] > 1 - margin:
        return None
    excess = auc_excess(
        (inside["unlearned"], inside[before]),
        (outside["unlearned"], outside[before]),
        ctx.subjects(members.ids),
        ctx.subjects(others),
        ctx.policy.bootstrap,
    ).excess
    judged = judge_excess(excess.estimate, excess.high, margin, excess.low)
    if excess.high is None:
        judged = Judgement("inconclusive", f"excess {excess.estimate:.3f}, and too few people for an interval")
    near = np.array([ctx.split.relation.get(ctx.records[i].id) in NEAR for i in members.ids], dtype=bool)
    controls = [Control(key=f"auc.{score}.{role}", estimate=value) for role, value in aucs.items()]
    if near.any():
        controls += [
            Control(key=f"near.{score}.{role}", estimate=auc(inside[role][near], outside[role])) for role in ctx.roles
        ]
    return CheckResult.measured(
        KEY,
        judged.status,
        excess,
        f"by {score}; {judged.reason}" if judged.reason else f"by {score}",
        reference=ReferenceValue(role=before, estimate=aucs[before]),
        controls=(*controls, *_nats(ctx, members)),
        rule=JudgedRule(id="excess", margin=margin),
    )


def _nats(ctx: Context, members: _Members) -> tuple[Control, ...]:
    """Mean change of the log-probability per token since the original model, of each later one."""
    first = members.scores(ctx, "loss", "original")
    later = [role for role in ctx.roles if role != "original"]
    return tuple(Control(key=f"nats.{r}", estimate=mean(members.scores(ctx, "loss", r) - first)) for r in later)
