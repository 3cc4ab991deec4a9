"""A few subjects against a retrained model: is an excess larger than chance makes it between two such models?

A rate of a dozen records moves in steps of a twelfth, and two models that never met a person differ by some of these
steps. Matched controls show by how many: neither model met them. A target says nothing as long as its excess, one model
over the other, is in the range of theirs, or its rate on the unlearned model in the range of theirs there: a retrained
model that guesses badly about the target alone is no evidence against the unlearned one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from expunge.audit.answer_memory import remembered
from expunge.audit.context import CheckOutput, Context, Role
from expunge.audit.kind_rates import KindRates, comparable
from expunge.audit.verdict import Judgement

BY_CHANCE = 0.5  # two models that never met a person do not differ by more: such a failure stands without controls


def excess_of(ours: KindRates, theirs: KindRates, subjects: Sequence[str]) -> dict[str, float]:
    """The worst kind of ours minus the worst kind of theirs for each subject that both were asked about."""
    first, second = ours.by_subject(subjects), theirs.by_subject(subjects)
    return {s: first[s] - second[s] for s in subjects if s in first and s in second}


@dataclass(frozen=True)
class RangeOfControls:
    """A number of each target, which passes up to the range of that of its controls.

    Attributes:
        name: What the number is.
        targets: Target to its number.
        original: The same of the original model, for power.
        controls: Target to the numbers of its controls.
    """

    name: str
    targets: Mapping[str, float]
    original: Mapping[str, float]
    controls: Mapping[str, Sequence[float]]


def judge_by_range(
    judged: Judgement, ranges: Sequence[RangeOfControls], percentile: float, min_controls: int
) -> Judgement:
    """A failed judgement is passed where every target is inside the range of its controls by one of these numbers.

    Inconclusive where even the original model is inside.

    Args:
        judged: By the margin alone.
        ranges: Numbers, the first that holds every target decides.
        percentile: Of the controls up to which a target is inside.
        min_controls: Controls that every target needs; a number with fewer decides nothing.
    """
    for one in ranges:
        few = any(len(one.controls.get(t, ())) < min_controls for t in one.targets)
        if judged.status != "failed" or not one.targets or few:
            continue
        limits = {t: float(np.percentile(np.asarray(one.controls[t]), percentile)) for t in one.targets}
        if any(value > limits[t] for t, value in one.targets.items()):
            continue
        count, limit = min(len(one.controls[t]) for t in one.targets), max(limits.values())
        if any(one.original.get(t, -1.0) <= limits[t] for t in one.targets):
            return Judgement("inconclusive", "too few records to tell the original model from controls")
        return Judgement(
            "passed",
            f"{one.name} {max(one.targets.values()):.3f} is inside the range of that of {count} controls, "
            f"whose {percentile:g}th percentile is {limit:.3f}",
        )
    return judged


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
    targets, names = ctx.split.targets, sorted(set(ours.subjects))

    def of_controls(values: Mapping[str, float]) -> dict[str, list[float]]:
        """Target to the values of those of its controls that were asked enough."""
        asked = {t: kinds["unlearned"].count(t) for t in targets}
        return {
            t: [values[c] for c in ctx.control_groups(t) if c in values and comparable(ours.count(c), asked[t])]
            for t in targets
        }

    ranges = (
        RangeOfControls(
            "rate",
            kinds["unlearned"].by_subject(targets),
            kinds["original"].by_subject(targets),
            of_controls(ours.by_subject(names)),
        ),
        RangeOfControls(
            "excess",
            excess_of(kinds["unlearned"], kinds["retrained"], targets),
            excess_of(kinds["original"], kinds["retrained"], targets),
            of_controls(excess_of(ours, theirs, names)),
        ),
    )
    percentile = ctx.policy.matched_controls.percentile
    judged = judge_by_range(Judgement("failed", result.reason), ranges, percentile, min_controls)
    if judged.status == "failed":
        return output
    reason = f"{judged.reason}; by the margin alone: {result.reason}"
    return CheckOutput([result.model_copy(update={"status": judged.status, "reason": reason})], output.details)
