"""Membership: can somebody with log-probabilities tell that this person was in the training data, or was erased?

With few subjects each person is ranked among never-trained controls; with many, the AUC is compared with that of
the reference. The entropy score never looks at the answer, and finds people who were forgotten clumsily.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from expunge.audit.check_result import CheckResult, Control, JudgedRule, ReferenceValue
from expunge.audit.context import Context, Role, check
from expunge.audit.matched_controls import ControlRank, RankTest, over_unlearning, rank_test
from expunge.audit.membership_scores import MEMBERSHIP, auc_excess, calibrate
from expunge.audit.scores import Values
from expunge.audit.statistics import auc, auc_intervals
from expunge.audit.text_normalization import normalize
from expunge.audit.verdict import judge_excess


def member_scores(ctx: Context, score: str, role: Role, name: str, ids: list[str]) -> Values:
    """Values [N] of a membership score, higher = more like a member."""
    scores = ctx.scores[role][name].select(ids)
    return MEMBERSHIP[score](scores, tuple(ctx.records[i] for i in ids))


def others(ctx: Context) -> tuple[str, list[str]]:
    """The set of non-members and its ids: controls where there are some, else the holdout."""
    if ctx.controls:
        return "controls", list(ctx.controls)
    return "holdout", [r.row_id for r in ctx.split.holdout]


def standings(ctx: Context, role: Role) -> dict[str, ControlRank]:
    """Each target among its controls: mean score over its trained wordings, against that of each control."""
    found = {}
    for target in ctx.split.targets:
        groups = ctx.control_groups(target)
        mine = [r.row_id for r in ctx.split.forget if r.subject == target]
        if len(groups) < 3:
            continue
        raw = {s: float(member_scores(ctx, s, role, "forget", mine).mean()) for s in ctx.policy.membership.scores}
        controls = {
            s: [float(member_scores(ctx, s, role, "controls", ids).mean()) for _, ids in sorted(groups.items())]
            for s in ctx.policy.membership.scores
        }
        found[target] = ControlRank.of(raw, controls)
    return found


def verbatim(ctx: Context, role: Role) -> tuple[int, int]:
    """(facts given word for word, facts) among those whose answer no surviving record shares: no lucky guesses."""
    shared = {normalize(r.answer) for r in (*ctx.split.retain, *ctx.split.retain_heldout, *ctx.split.shared)}
    own = {r.row_id for r in ctx.split.forget if normalize(r.answer) not in shared and not r.options}
    ids = [i for i in ctx.scores[role]["forget"].ids if ctx.owner[i] in own]
    if not ids:
        return 0, 0
    hit = ctx.values("exact_match", role, "forget", ids)
    facts: dict[tuple[str, ...], bool] = {}
    for i, value in zip(ids, hit, strict=True):
        keys = ctx.records[ctx.owner[i]].fact_keys
        facts[keys] = facts.get(keys, False) or bool(value == 1)
    return sum(facts.values()), len(facts)


def _aucs(ctx: Context) -> dict[str, dict[str, float]]:
    name, outside = others(ctx)
    members = list(ctx.trained_wording)
    if not outside:
        return {}
    return {
        s: {
            role: auc(member_scores(ctx, s, role, "forget", members), member_scores(ctx, s, role, name, outside))
            for role in ctx.roles
        }
        for s in ctx.policy.membership.scores
    }


def _few_entry(
    ctx: Context, key: str, outcome: RankTest, aucs: Mapping[str, Mapping[str, float]], percentile: float
) -> CheckResult:
    controls = tuple(
        Control(key=f"auc.{s}.{role}", estimate=v) for s, by_role in aucs.items() for role, v in by_role.items()
    )
    return CheckResult(
        key=key,
        status=outcome.status,
        reason=outcome.reason,
        n_records=len(ctx.split.forget),
        n_subjects=len(ctx.split.targets),
        estimate=outcome.estimate,
        p=outcome.p,
        power=outcome.power,
        ci_method="rank among controls",
        reference=ReferenceValue(role="controls", estimate=0.0),
        controls=controls,
        rule=JudgedRule(id="few_subjects", margin=percentile),
    )


@check("membership", "mia", "over_unlearning")
def membership(ctx: Context) -> Iterator[CheckResult]:
    """Loss and entropy attacks, and whether the erased stand out by being unusually unknown."""
    aucs = _aucs(ctx)
    ctx.notes["membership_auc"] = aucs
    if not aucs:
        for key in ("mia", "over_unlearning"):
            yield CheckResult(
                key=key, status="inconclusive", reason="there are no never-trained records to compare with"
            )
        return
    yield from (_few(ctx, aucs) if ctx.few else _many(ctx))


def _few(ctx: Context, aucs: Mapping[str, Mapping[str, float]]) -> Iterator[CheckResult]:
    by_role = {role: standings(ctx, role) for role in ctx.roles}
    ours = by_role["unlearned"]
    if set(ours) != set(ctx.split.targets):
        for key in ("mia", "over_unlearning"):
            yield CheckResult(
                key=key, status="inconclusive", reason="few subjects: not every subject has never-trained controls"
            )
        return
    rule = ctx.policy.few_subjects
    hits, facts = verbatim(ctx, "unlearned")
    ctx.notes["standing"] = {
        role: {
            t: {
                "z": dict(s.z),
                "p_two_sided": s.p_two_sided,
                "m": s.m,
                "outside": s.outside(*rule.over_range),
                "controls": {a: [float(v) for v in z] for a, z in s.controls.items()},
            }
            for t, s in found.items()
        }
        for role, found in by_role.items()
    }
    ctx.notes["verbatim"] = {role: dict(zip(("hits", "facts"), verbatim(ctx, role), strict=True)) for role in ctx.roles}
    outcome = rank_test(ours, by_role["original"], hits, max(facts, 1), rule.percentile, rule.controls)
    yield _few_entry(ctx, "mia", outcome, aucs, rule.percentile)
    over = over_unlearning(ours, rule.over_range, rule.controls)
    yield _few_entry(ctx, "over_unlearning", over, {}, rule.over_range[1])


def _many(ctx: Context) -> Iterator[CheckResult]:
    name, outside = others(ctx)
    members, plan = list(ctx.trained_wording), ctx.policy.bootstrap
    inside, away = ctx.subjects(members), ctx.subjects(outside)
    reference = "retrained" if "retrained" in ctx.roles else None
    if reference is None:
        for key in ("mia", "over_unlearning"):
            yield CheckResult(key=key, status="inconclusive", reason="many subjects need a retrained reference model")
        return
    margin = ctx.margin("mia", 0.05)
    worst: CheckResult | None = None
    over: list[str] = []
    for score in ctx.policy.membership.scores:
        both = {
            role: (member_scores(ctx, score, role, "forget", members), member_scores(ctx, score, role, name, outside))
            for role in ctx.roles
        }
        found = auc_excess(
            (both["unlearned"][0], both[reference][0]), (both["unlearned"][1], both[reference][1]), inside, away, plan
        )
        ctx.notes.setdefault("membership_excess", {})[score] = {
            "estimate": found.excess.estimate,
            "ci": [found.excess.low, found.excess.high],
        }
        power = auc_intervals(both["original"][0][:, None], both["original"][1][:, None], inside, away, plan)[0]
        probe = calibrate(
            {"forget against never-trained on the reference": found.reference}, power, ctx.policy.membership.calibration
        )
        status, reason = judge_excess(found.excess.estimate, found.excess.high, margin)
        if probe.status != "passed":
            status, reason = "inconclusive", probe.reason
        if found.over_unlearned:
            over.append(f"{score}: AUC {found.unlearned.estimate:.3f} against {found.reference.estimate:.3f}")
        entry = CheckResult.measured(
            "mia",
            status,
            found.excess,
            f"by {score}; {reason}" if reason else f"by {score}",
            reference=ReferenceValue(role=reference, estimate=found.reference.estimate),
            power=bool(power.lower > 0.5),
            rule=JudgedRule(id="excess", margin=margin),
        )
        order = ("failed", "inconclusive", "passed")
        if worst is None or order.index(entry.status) < order.index(worst.status):
            worst = entry
    assert worst is not None
    yield worst
    yield CheckResult(
        key="over_unlearning",
        status="failed" if over else "passed",
        n_subjects=len(set(inside)),
        n_records=len(members),
        reason="; ".join(over) or "no score finds the erased unusually unknown",
        estimate=float(np.nan),
    )
