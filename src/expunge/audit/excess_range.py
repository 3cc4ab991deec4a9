"""A few subjects against a retrained model: is an excess larger than chance makes it between two such models?

A rate of a dozen records moves in steps of a twelfth, and two models that never met a person differ by some of these
steps. Matched controls show by how many: neither model met them. A target says nothing as long as its excess, one model
over the other, is in the range of theirs, or its rate on the unlearned model in the range of theirs there. Nor does it
while the retrained model gives its answers about strangers as often: one that guesses badly about the target alone is
no evidence against the unlearned one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from expunge.audit.answer_memory import remembered
from expunge.audit.context import CheckOutput, Context, Role
from expunge.audit.kind_rates import KindRates, comparable
from expunge.audit.strangers import stranger_records
from expunge.audit.verdict import Judgement
from expunge.corpus import Record

Ask = Callable[[Context, Role, Sequence[Record]], KindRates]  # attacks these records on a model
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
        people: Who the controls are.
    """

    name: str
    targets: Mapping[str, float]
    original: Mapping[str, float]
    controls: Mapping[str, Sequence[float]]
    people: str = "controls"


def judge_by_range(
    judged: Judgement, ranges: Iterable[RangeOfControls], percentile: float, min_controls: int
) -> Judgement:
    """A failed judgement is passed where every target is inside the range of its controls by one of these numbers.

    Inconclusive where even the original model is inside.

    Args:
        judged: By the margin alone.
        ranges: Numbers, the first that holds every target decides; no further one is asked for.
        percentile: Of the controls up to which a target is inside.
        min_controls: Controls that every target needs; a number with fewer decides nothing.
    """
    if judged.status != "failed":
        return judged
    for one in ranges:
        few = any(len(one.controls.get(t, ())) < min_controls for t in one.targets)
        if not one.targets or few:
            continue
        limits = {t: float(np.percentile(np.asarray(one.controls[t]), percentile)) for t in one.targets}
        if any(value > limits[t] for t, value in one.targets.items()):
            continue
        count, limit = min(len(one.controls[t]) for t in one.targets), max(limits.values())
        if any(one.original.get(t, -1.0) <= limits[t] for t in one.targets):
            return Judgement("inconclusive", "too few records to tell the original model from controls")
        return Judgement(
            "passed",
            f"{one.name} {max(one.targets.values()):.3f} is inside the range of that of {count} {one.people}, "
            f"whose {percentile:g}th percentile is {limit:.3f}",
        )
    return judged


def judged_by_range(
    ctx: Context,
    name: str,
    output: CheckOutput,
    ask: Ask,
    controls: Callable[[], Sequence[Record]],
    min_controls: int,
    kinds: Mapping[Role, KindRates] | None = None,
    records: Sequence[Record] = (),
) -> CheckOutput:
    """The output of an attack, its failure judged by `judge_by_range` where few subjects were compared with a model.

    Args:
        ctx: The audit.
        name: The attack, whose probe was answered.
        output: Judged by the margin.
        ask: Attacks records of others on a model of a role; called only for a failure.
        controls: Records of matched controls that can be attacked.
        min_controls: Controls that every target needs.
        kinds: Rates of the target by role, by default those of the probe.
        records: What the target was asked, for strangers.
    """
    result = output.results[0]
    few = ctx.is_small_sample and result.ci is None and ctx.reference == "retrained"
    chance = few and (result.estimate or 0.0) <= BY_CHANCE
    if result.status != "failed" or not chance or not ctx.split.controls:
        return output
    kinds = kinds or {role: ctx.probe(name, role)["forget"].kinds for role in ctx.roles}
    ranges = _ranges(ctx, name, ask, controls(), kinds, records)
    percentile = ctx.policy.matched_controls.percentile
    judged = judge_by_range(Judgement("failed", result.reason), ranges, percentile, min_controls)
    if judged.status == "failed":
        return output
    reason = f"{judged.reason}; by the margin alone: {result.reason}"
    return CheckOutput([result.model_copy(update={"status": judged.status, "reason": reason})], output.details)


def _ranges(
    ctx: Context,
    name: str,
    ask: Ask,
    controls: Sequence[Record],
    kinds: Mapping[Role, KindRates],
    records: Sequence[Record],
) -> Iterator[RangeOfControls]:
    """The numbers by which a target may be inside, each measured when it is asked for."""
    targets = ctx.split.targets
    rates, original = (kinds[role].by_subject(targets) for role in ("unlearned", "original"))

    def answers(what: str, role: Role, of: Sequence[Record]) -> KindRates:
        answer: KindRates = remembered(ctx, f"{name} on {what}", role, partial(ask, ctx, role, of))
        return answer

    def by_target(values: Mapping[str, float], asked: KindRates, groups: Mapping[str, Iterable[str]]) -> Any:
        """Target to the values of those in its group that were asked enough."""
        least = {t: kinds["unlearned"].count(t) for t in targets}
        return {
            t: [values[c] for c in names if c in values and comparable(asked.count(c), least[t])]
            for t, names in groups.items()
        }

    ours = answers("controls", "unlearned", controls)
    names, groups = sorted(set(ours.subjects)), {t: ctx.control_groups(t) for t in targets}
    yield RangeOfControls("rate", rates, original, by_target(ours.by_subject(names), ours, groups))
    theirs = answers("controls", "retrained", controls)
    yield RangeOfControls(
        "excess",
        excess_of(kinds["unlearned"], kinds["retrained"], targets),
        excess_of(kinds["original"], kinds["retrained"], targets),
        by_target(excess_of(ours, theirs, names), ours, groups),
    )
    strangers = stranger_records(records, ctx.split, ctx.policy.attack_seeds[0])
    if set(strangers) == set(targets):
        questions = [question for rows in strangers.values() for _, question in rows]
        guesses = answers("strangers", "retrained", questions)
        people = {t: list(dict.fromkeys(name for name, _ in rows)) for t, rows in strangers.items()}
        values = guesses.by_subject([name for names in people.values() for name in names])
        yield RangeOfControls("rate", rates, original, by_target(values, guesses, people), "strangers, retrained")
