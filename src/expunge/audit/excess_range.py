"""A few subjects against a retrained model: is an excess larger than chance makes it between two such models?

A rate of a dozen records moves in steps of a twelfth, and two models that never met a person differ by some of these
steps. Matched controls show by how many: neither model met them. Their excess, one model over the other, is the range
in which that of a target says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from expunge.audit.answer_memory import remembered
from expunge.audit.context import CheckOutput, Context, Role
from expunge.audit.kind_rates import KindRates, comparable
from expunge.audit.verdict import Judgement

BY_CHANCE = 0.5  # two models that never met a person do not differ by more: such a failure stands without controls


def excess_of(ours: KindRates, theirs: KindRates, subjects: Sequence[str]) -> dict[str, float]:
    """The worst kind of ours minus the worst kind of theirs for each subject that both were asked about."""
    excess = {s: ours.of({s}) - theirs.of({s}) for s in subjects}
    return {s: value for s, value in excess.items() if np.isfinite(value)}


def judge_by_range(
    judged: Judgement,
    targets: Mapping[str, float],
    original: Mapping[str, float],
    controls: Mapping[str, Sequence[float]],
    percentile: float,
    min_controls: int,
) -> Judgement:
    """A failed judgement is passed where every target's excess is inside the range of that of its controls.

    Inconclusive where even the original model's excess is inside.

    Args:
        judged: By the margin alone.
        targets: Target to its excess, unlearned over retrained.
        original: The same of the original model over the retrained one, for power.
        controls: Target to the excess of each of its controls, unlearned over retrained.
        percentile: Of the controls' excess up to which a target is inside.
        min_controls: Controls that every target needs; otherwise the judgement stands.
    """
    if judged.status != "failed" or not targets or any(len(controls.get(t, ())) < min_controls for t in targets):
        return judged
    limits = {t: float(np.percentile(np.asarray(controls[t]), percentile)) for t in targets}
    if any(value > limits[t] for t, value in targets.items()):
        return judged
    count, limit = min(len(controls[t]) for t in targets), max(limits.values())
    if any(original.get(t, -1.0) <= limits[t] for t in targets):
        return Judgement("inconclusive", "too few records to tell the original model from controls")
    return Judgement(
        "passed",
        f"excess {max(targets.values()):.3f} is inside the range of that of {count} controls, "
        f"whose {percentile:g}th percentile is {limit:.3f}",
    )


def judged_by_range(
    ctx: Context,
    name: str,
    output: CheckOutput,
    on_controls: Callable[[Context, Role], KindRates],
    min_controls: int,
    kinds: Mapping[Role, KindRates] | None = None,
) -> CheckOutput:
    """The output of an attack, its failure judged by `judge_by_range` where few subjects were compared with a model.

    Args:
        ctx: The audit.
        name: The attack, whose probe was answered.
        output: Judged by the margin.
        on_controls: Attacks matched controls on a model of a role; called only for a failure.
        min_controls: Controls that every target needs.
        kinds: Rates of the target by role, by default those of the probe.
    """
    result = output.results[0]
    few = ctx.is_small_sample and result.ci is None and ctx.reference == "retrained"
    chance = few and (result.estimate or 0.0) <= BY_CHANCE
    if result.status != "failed" or not chance or not ctx.split.controls:
        return output
    kinds = kinds or {role: ctx.probe(name, role)["forget"].kinds for role in ctx.roles}
    ours, theirs = (
        remembered(ctx, f"{name} on controls", role, partial(on_controls, ctx, role))
        for role in ("unlearned", "retrained")
    )
    excess = excess_of(ours, theirs, sorted(set(ours.subjects)))
    targets = ctx.split.targets
    judged = judge_by_range(
        Judgement("failed", result.reason),
        excess_of(kinds["unlearned"], kinds["retrained"], targets),
        excess_of(kinds["original"], kinds["retrained"], targets),
        {
            t: [
                excess[c]
                for c in ctx.control_groups(t)
                if c in excess and comparable(ours.count(c), kinds["unlearned"].count(t))
            ]
            for t in targets
        },
        ctx.policy.matched_controls.percentile,
        min_controls,
    )
    if judged.status == "failed":
        return output
    reason = f"{judged.reason}; by the margin alone: {result.reason}"
    return CheckOutput([result.model_copy(update={"status": judged.status, "reason": reason})], output.details)
