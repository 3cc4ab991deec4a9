"""A few subjects against a retrained model: is an excess larger than chance makes it between two such models?

A rate of a dozen records moves in steps of a twelfth, and two models that never met a person differ by some of these
steps. How often the retrained model gives the target's answers about people who do not exist shows what these answers
are worth: a target says nothing as long as it is in the range of these strangers. Where no stranger can be asked, or a
number depends on more of a model than what it knows, matched controls take their place, by their excess of one model
over the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
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
from expunge.errors import first_line

Ask = Callable[[Context, Role, Sequence[Record]], KindRates]  # attacks these records on a model
LEAST = 6  # records of a target: a rate of fewer is inside of any range
MOST = 1_000_000  # questions about strangers
STRANGERS_BUDGET = 1 / 4  # share of the policy's work of controls that strangers may take
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


def judge_by_range(judged: Judgement, one: RangeOfControls, percentile: float, min_controls: int) -> Judgement:
    """A failed judgement is passed where every target is inside the range of its controls.

    Inconclusive where even the original model is inside.

    Args:
        judged: By the margin alone.
        one: The number of the targets and of their controls.
        percentile: Of the controls up to which a target is inside.
        min_controls: Controls that every target needs; otherwise the judgement stands.
    """
    few = any(len(one.controls.get(t, ())) < min_controls for t in one.targets)
    if judged.status != "failed" or not one.targets or few or one.targets.keys() != one.controls.keys():
        return judged
    limits = {t: float(np.percentile(np.asarray(one.controls[t]), percentile)) for t in one.targets}
    if any(value > limits[t] for t, value in one.targets.items()):
        return judged
    count, limit = min(len(one.controls[t]) for t in one.targets), max(limits.values())
    if any(one.original.get(t, -1.0) <= limits[t] for t in one.targets):
        return Judgement("inconclusive", "too few records to tell the original model from controls")
    return Judgement(
        "passed",
        f"{one.name} {max(one.targets.values()):.3f} is inside the range of that of {count} {one.people}, "
        f"whose {percentile:g}th percentile is {limit:.3f}",
    )


def judged_by_range(
    ctx: Context,
    name: str,
    output: CheckOutput,
    ask: Ask,
    controls: Callable[[], Sequence[Record]],
    min_controls: int,
    kinds: Mapping[Role, KindRates] | None = None,
    records: Sequence[Record] = (),
    cost: float = 1.0,
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
        records: What the target was asked, for strangers; none where controls are to be asked.
        cost: Scoring passes per record; of large models that can be too many for strangers.
    """
    result = output.results[0]
    few = ctx.is_small_sample and result.ci is None and ctx.reference == "retrained"
    chance = few and (result.estimate or 0.0) <= BY_CHANCE
    if result.status != "failed" or not chance or not ctx.split.controls:
        return output
    kinds = kinds or {role: ctx.probe(name, role)["forget"].kinds for role in ctx.roles}
    if any(kinds["unlearned"].count(t) < LEAST for t in ctx.split.targets):
        return output
    start, percentile = Judgement("failed", result.reason), ctx.policy.matched_controls.percentile
    try:
        one = _range(ctx, name, ask, controls, kinds, records, cost)
        judged = judge_by_range(start, one, percentile, min_controls)
    except Exception as error:  # what was measured stands, whatever happens to others
        reason = f"{result.reason}; others could not be asked ({type(error).__name__}: {first_line(error)})"
        return CheckOutput([result.model_copy(update={"reason": reason})], output.details)
    if judged.status == "failed":
        return output
    reason = f"{judged.reason}; by the margin alone: {result.reason}"
    return CheckOutput([result.model_copy(update={"status": judged.status, "reason": reason})], output.details)


def _range(
    ctx: Context,
    name: str,
    ask: Ask,
    controls: Callable[[], Sequence[Record]],
    kinds: Mapping[Role, KindRates],
    records: Sequence[Record],
    cost: float,
) -> RangeOfControls:
    """The number by which a target may be inside."""
    targets = ctx.split.targets

    def answers(what: str, role: Role, of: Sequence[Record]) -> KindRates:
        answer: KindRates = remembered(ctx, f"{name} on {what}", role, partial(ask, ctx, role, of))
        return answer

    def by_target(values: Mapping[str, float], rates: KindRates, groups: Mapping[str, Iterable[str]]) -> Any:
        """Target to the values of those in its group that were asked enough."""
        least = {t: kinds["unlearned"].count(t) for t in targets}
        return {
            t: [values[c] for c in names if c in values and comparable(rates.count(c), least[t])]
            for t, names in groups.items()
        }

    strangers = stranger_records(records, ctx.split, ctx.policy.attack_seeds[0])
    questions = [question for rows in strangers.values() for question in rows]
    if set(strangers) == set(targets) and len(questions) <= ctx.affordable(STRANGERS_BUDGET / cost, 0, MOST):
        guesses = answers("strangers", "retrained", questions)
        people = {t: list(dict.fromkeys(r.subject for r in rows)) for t, rows in strangers.items()}
        values = guesses.by_subject([name for names in people.values() for name in names])
        if values:
            ours, original = (kinds[role].by_subject(targets) for role in ("unlearned", "original"))
            return RangeOfControls("rate", ours, original, by_target(values, guesses, people), "strangers, retrained")
    first, second = (answers("controls", role, controls()) for role in ("unlearned", "retrained"))
    names, groups = sorted(set(first.subjects)), {t: ctx.control_groups(t) for t in targets}
    return RangeOfControls(
        "excess",
        excess_of(kinds["unlearned"], kinds["retrained"], targets),
        excess_of(kinds["original"], kinds["retrained"], targets),
        by_target(excess_of(first, second, names), first, groups),
    )
