"""Membership: can log-probabilities tell that a person was in the training data, or was erased from it?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from expunge.audit.check_result import CheckResult, Control, IntervalEstimate, JudgedRule, ReferenceValue, Status
from expunge.audit.context import CheckOutput, CheckProfile, Context, Role, check
from expunge.audit.details import ControlPanel, HitCount, MembershipDetails
from expunge.audit.matched_controls import ControlRank, RankTest, over_unlearning, rank_test
from expunge.audit.membership_scores import MEMBERSHIP, auc_excess, calibrate, judge_unknown
from expunge.audit.scores import Values
from expunge.audit.statistics import auc, auc_intervals
from expunge.audit.text_normalization import normalize
from expunge.audit.verdict import STATUS_ORDER, judge_excess

KEYS = ("mia", "over_unlearning")
MARGIN = 0.05  # where the policy has no rule
Aucs = Mapping[str, Mapping[Role, float]]
PROFILE = CheckProfile(
    title="Membership: the records look never trained",
    family="membership",
    control="at least 40 matched controls; the retrained model",
    cost="none: arithmetic on the scoring pass",
    limits="Attackers with shadow models of their own may tell more.",
)


@check("membership", *KEYS, profile=PROFILE)
def membership(ctx: Context) -> CheckOutput:
    """Membership inference by answer loss and by entropy, and over-unlearning.

    With few subjects each one is ranked among never-trained matched controls by its worst z-score over attacks
    (`mia`), and must lie inside the controls' range in both directions (`over_unlearning`). A person may be unlike its
    controls by nature: a subject that stands out passes if it does on the retrained model too, and not by how far its
    scores differ from those of that model.

    With many subjects the judged value is AUC(unlearned) - AUC(retrained) of forget records against records that no
    model was trained on, after a calibration of the sets on the reference; without a retrained model it is the distance
    of that AUC from .5 against matched controls, which have the same shape. The entropy score never reads the answer,
    and so finds subjects that stand out as unusually unknown.
    """
    aucs = _aucs(ctx)
    if not aucs:
        return CheckOutput(_inconclusive("there are no never-trained records to compare with"), MembershipDetails())
    return _ranked(ctx, aucs) if ctx.is_small_sample else _compared(ctx, aucs)


def member_scores(ctx: Context, score: str, role: Role, name: str, ids: list[str]) -> Values:
    """Values [N] of a membership score, higher = more like a member."""
    scores = ctx.scores[role][name].select(ids)
    return MEMBERSHIP[score](scores, tuple(ctx.records[i] for i in ids))


def nonmembers(ctx: Context) -> tuple[str, list[str]]:
    """The set of non-members and its row ids: matched controls where there are some, else the holdout."""
    if ctx.controls:
        return "controls", list(ctx.controls)
    return "holdout", [r.row_id for r in ctx.split.holdout]


def control_ranks(
    ctx: Context, role: Role, minus: Role | None = None, by: Sequence[str] = ()
) -> dict[str, ControlRank]:
    """Each target among its controls: mean score over its trained wordings against that of each control.

    With `minus`, the scores are differences: those of `role` less those of that model. `by` names scores, by default
    those of the policy.
    """
    scores = by or ctx.policy.membership.scores

    def mean_score(score: str, name: str, ids: list[str]) -> float:
        ours = float(member_scores(ctx, score, role, name, ids).mean())
        return ours - float(member_scores(ctx, score, minus, name, ids).mean()) if minus else ours

    ranks = {}
    for target in ctx.split.targets:
        groups = ctx.control_groups(target)
        own = [r.row_id for r in ctx.split.forget if r.subject == target]
        if len(groups) < 3:
            continue
        raw = {s: mean_score(s, "forget", own) for s in scores}
        controls = {s: [mean_score(s, "controls", ids) for _, ids in sorted(groups.items())] for s in scores}
        ranks[target] = ControlRank.of(raw, controls)
    return ranks


def verbatim(ctx: Context, role: Role) -> HitCount:
    """Facts given word for word, among those whose answer no surviving record shares: no lucky guesses.

    Answers of rephrasings of surviving records count as shared too, and a choice among options tells nothing.
    """
    surviving = (*ctx.split.retain, *ctx.split.retain_heldout, *ctx.split.shared)
    shared = {normalize(text) for r in surviving for text in (r.answer, *(v.answer for v in r.variants))}
    own = {r.row_id for r in ctx.split.forget if normalize(r.answer) not in shared and not r.options}
    rows = ((i, ctx.records[i]) for i in ctx.scores[role]["forget"].ids if ctx.record_of_wording[i] in own)
    ids = [i for i, r in rows if not r.options and normalize(r.answer) not in shared]
    if not ids:
        return HitCount(hits=0, facts=0)
    facts: dict[tuple[str, ...], bool] = {}
    for i, value in zip(ids, ctx.values("exact_match", role, "forget", ids), strict=True):
        keys = ctx.records[ctx.record_of_wording[i]].fact_keys
        facts[keys] = facts.get(keys, False) or bool(value == 1)
    return HitCount(hits=sum(facts.values()), facts=len(facts))


def _inconclusive(reason: str) -> list[CheckResult]:
    return [CheckResult(key=key, status="inconclusive", reason=reason) for key in KEYS]


def _aucs(ctx: Context) -> dict[str, dict[Role, float]]:
    name, others = nonmembers(ctx)
    members = list(ctx.trained_wording)
    if not others:
        return {}
    return {
        s: {
            role: auc(member_scores(ctx, s, role, "forget", members), member_scores(ctx, s, role, name, others))
            for role in ctx.roles
        }
        for s in ctx.policy.membership.scores
    }


def _ranked(ctx: Context, aucs: Aucs) -> CheckOutput:
    """Few subjects: rank tests among matched controls."""
    by_role = {role: control_ranks(ctx, role) for role in ctx.roles}
    ours, rule = by_role["unlearned"], ctx.policy.matched_controls
    if set(ours) != set(ctx.split.targets):
        reason = "few subjects: not every subject has never-trained controls"
        return CheckOutput(_inconclusive(reason), MembershipDetails(auc=aucs))
    counts = {role: verbatim(ctx, role) for role in ctx.roles}
    panels = {role: {t: _panel(rank, rule.over_range) for t, rank in ranks.items()} for role, ranks in by_role.items()}
    hits = counts["unlearned"]
    beside = ctx.reference == "retrained"
    leads, yardstick = (control_ranks(ctx, "unlearned", "retrained"), by_role["retrained"]) if beside else (None, None)
    test = rank_test(
        ours, by_role["original"], hits.hits, max(hits.facts, 1), rule.percentile, rule.controls, leads, yardstick,
        ctx.policy.joint_level,
    )  # fmt: skip
    over = over_unlearning(ours, rule.over_range, rule.controls, leads, yardstick, ctx.policy.joint_level)
    results = [
        _rank_result(ctx, "mia", test, aucs, rule.percentile),
        _rank_result(ctx, "over_unlearning", over, {}, rule.over_range[1]),
    ]
    return CheckOutput(results, MembershipDetails(auc=aucs, control_ranks=panels, verbatim=counts))


def _panel(rank: ControlRank, over_range: tuple[float, float]) -> ControlPanel:
    return ControlPanel(
        z=dict(rank.z),
        controls={attack: tuple(z.tolist()) for attack, z in rank.controls.items()},
        m=rank.m,
        p_two_sided=rank.p_two_sided,
        outside=rank.outside(*over_range),
    )


def _rank_result(ctx: Context, key: str, test: RankTest, aucs: Aucs, percentile: float) -> CheckResult:
    return CheckResult(
        key=key,
        status=test.status,
        reason=test.reason,
        n_records=len(ctx.split.forget),
        n_subjects=len(ctx.split.targets),
        estimate=test.estimate,
        p=test.p,
        power=test.power,
        ci_method="rank among controls",
        reference=ReferenceValue(role="controls", estimate=0.0),
        controls=tuple(
            Control(key=f"auc.{s}.{role}", estimate=v) for s, by_role in aucs.items() for role, v in by_role.items()
        ),
        rule=JudgedRule(id="matched_controls", margin=percentile),
    )


def _compared(ctx: Context, aucs: Aucs) -> CheckOutput:
    """Many subjects: excess of the AUC over that of the retrained model; the worst score decides."""
    if ctx.reference != "retrained":
        return _against_controls(ctx, aucs)
    name, others = nonmembers(ctx)
    members, bootstrap = list(ctx.trained_wording), ctx.policy.bootstrap
    inside, outside = ctx.subjects(members), ctx.subjects(others)
    margin = ctx.margin("mia", MARGIN)
    results: list[CheckResult] = []
    excesses: dict[str, IntervalEstimate] = {}
    over: dict[str, Status] = {}
    for score in ctx.policy.membership.scores:
        scores = {
            role: (member_scores(ctx, score, role, "forget", members), member_scores(ctx, score, role, name, others))
            for role in ctx.roles
        }
        ours, theirs = scores["unlearned"], scores["retrained"]
        comparison = auc_excess((ours[0], theirs[0]), (ours[1], theirs[1]), inside, outside, bootstrap)
        excess = comparison.excess
        excesses[score] = IntervalEstimate.of(excess)
        known, unknown = scores["original"]
        power = auc_intervals(known[:, None], unknown[:, None], inside, outside, bootstrap)[0]
        calibration = calibrate(
            {"forget against never-trained on the reference": comparison.reference},
            power,
            ctx.policy.membership.calibration,
        )
        status, reason = judge_excess(excess.estimate, excess.high, margin, excess.low)
        if calibration.status != "passed":
            status, reason = "inconclusive", calibration.reason
        auc_now, auc_reference = comparison.unlearned.estimate, comparison.reference.estimate
        over[f"{score}: AUC {auc_now:.3f} against {auc_reference:.3f}"] = judge_unknown(excess)
        results.append(
            CheckResult.measured(
                "mia",
                status,
                excess,
                f"by {score}; {reason}" if reason else f"by {score}",
                reference=ReferenceValue(role="retrained", estimate=comparison.reference.estimate),
                power=bool(power.lower > 0.5),
                rule=JudgedRule(id="excess", margin=margin),
            )
        )
    worst = min(results, key=lambda result: STATUS_ORDER.index(result.status))
    stands_out = _stands_out(over, len(set(inside)), len(members))
    return CheckOutput([worst, stands_out], MembershipDetails(auc=aucs, excess=excesses))


def _against_controls(ctx: Context, aucs: Aucs) -> CheckOutput:
    """Many subjects, no retrained model: the AUC against matched controls must be near .5; the worst score decides."""
    if not ctx.controls:
        reason = "many subjects need a retrained model or matched controls"
        return CheckOutput(_inconclusive(reason), MembershipDetails(auc=aucs))
    members, others = list(ctx.trained_wording), list(ctx.controls)
    sides = ctx.subjects(members), ctx.subjects(others)
    margin = ctx.margin("mia", MARGIN)
    results: list[CheckResult] = []
    over: dict[str, Status] = {}
    for score in ctx.policy.membership.scores:
        ours, before = (
            auc_intervals(
                member_scores(ctx, score, role, "forget", members)[:, None],
                member_scores(ctx, score, role, "controls", others)[:, None],
                *sides,
                ctx.policy.bootstrap,
            )[0]
            for role in ("unlearned", "original")
        )
        excess = replace(
            ours,
            estimate=ours.estimate - 0.5,
            low=None if ours.low is None else ours.low - 0.5,
            high=None if ours.high is None else ours.high - 0.5,
        )
        status, reason = judge_excess(excess.estimate, excess.high, margin, excess.low)
        power = bool(before.lower > 0.5)
        if not power:
            status, reason = "inconclusive", "no power: the original model does not tell the records from controls"
        over[f"{score}: AUC {ours.estimate:.3f} against controls"] = judge_unknown(excess)
        results.append(
            CheckResult.measured(
                "mia",
                status,
                excess,
                f"by {score}; {reason}" if reason else f"by {score}",
                reference=ReferenceValue(role="controls", estimate=0.5),
                power=power,
                rule=JudgedRule(id="excess", margin=margin),
            )
        )
    stands_out = _stands_out(over, len(ctx.split.targets), len(members))
    worst = min(results, key=lambda result: STATUS_ORDER.index(result.status))
    return CheckOutput([worst, stands_out], MembershipDetails(auc=aucs))


def _stands_out(over: Mapping[str, Status], subjects: int, records: int) -> CheckResult:
    """`over_unlearning` of many subjects: description of each score's AUC → status."""
    return CheckResult(
        key="over_unlearning",
        status=min(over.values(), key=STATUS_ORDER.index),
        n_subjects=subjects,
        n_records=records,
        reason="; ".join(text for text, status in over.items() if status != "passed")
        or "no score finds the erased unusually unknown",
    )
