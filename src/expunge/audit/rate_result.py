"""A result from rates: those of the target on every model against those of the reference."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from expunge.audit.check_result import CheckResult, Control, JudgedRule, ReferenceValue
from expunge.audit.context import Context, Role, mean
from expunge.audit.kind_rates import KindRates, control_excess, excess_interval
from expunge.audit.range_of_controls import compare_with_others, judge_by_controls
from expunge.audit.verdict import judge_excess


def rate_result(
    ctx: Context, key: str, rates: Mapping[Role, KindRates], theirs: KindRates, margin: float, min_controls: int = 0
) -> CheckResult:
    """The worst kind of the unlearned model against the worst kind of the reference.

    Inconclusive where the original model exceeds the reference by at most the policy's `known_margin`: then the
    question has no power.

    Args:
        ctx: The audit.
        key: Key of the result.
        rates: Rates of the target on each model; the models answer the same records.
        theirs: Rates of the reference: the retrained model on the same records, or controls on the unlearned model.
        margin: Largest excess that passes.
        min_controls: Controls that a subject needs to be judged by their range; 0 for as many as the policy says.
    """
    ours, original = rates["unlearned"], rates["original"]
    if ctx.reference == "retrained":
        excess = excess_interval(ours.values, theirs.values, ours.subjects, ctx.policy.bootstrap)
    else:
        excess = control_excess(ours, theirs, ctx.policy.bootstrap)
    (kind, rate), (reference_kind, reference_rate) = ours.worst, theirs.worst
    known = original.worst[1]
    controls = tuple(
        Control(key=f"{role}.{k}", estimate=mean(v)) for role, r in rates.items() for k, v in r.values.items()
    )
    if not np.isfinite([rate, reference_rate, known]).all():
        reason = "a model has no rate: nothing that it was asked could be measured"
        return CheckResult.measured(key, "inconclusive", excess, reason, controls=controls)
    if not known > reference_rate + ctx.policy.known_margin:
        reason = f"the original model hardly knew it ({known:.3f}, reference {reference_rate:.3f})"
        return CheckResult.measured(key, "inconclusive", excess, reason, controls=controls, power=False)
    judged = judge_excess(excess.estimate, excess.high, margin, excess.low)
    result = CheckResult.measured(
        key,
        judged.status,
        excess,
        f"worst kind {kind} {rate:.3f}, reference {reference_kind} {reference_rate:.3f}; {judged.reason}",
        reference=ReferenceValue(role=ctx.reference, estimate=reference_rate),
        controls=controls,
        rule=JudgedRule(id="excess", margin=margin),
        power=True,
    )
    if ctx.reference == "retrained" or excess.high is not None or not ctx.is_small_sample:
        return result
    groups = {t: list(ctx.control_groups(t)) for t in ctx.split.targets}
    least = min_controls or ctx.policy.matched_controls.controls
    return compare_with_others(
        result, lambda failed: judge_by_controls(failed, ours, original, theirs, groups, ctx.policy, least)
    )
