"""A failure held against others: does the target go further than people whom no model met go by chance?

Several required tests decide an audit, each with its own chance. So a failure counts by the level that all of them keep
together, and what only one test by itself would find is inconclusive.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from expunge.audit.check_result import CASE, LIMIT, SINGLE_CASE, CheckResult, Control, JudgedRule, is_beyond_chance
from expunge.audit.kind_rates import KindRates, comparable, questions_behind
from expunge.audit.policy import Policy
from expunge.audit.single_case import ChanceLimits
from expunge.audit.verdict import STATUS_ORDER, Judgement
from expunge.errors import first_line

MOST_UNSEEN = 0.5  # share of what the original model knows that a pass may leave unseen


@dataclass(frozen=True)
class RangeOfControls:
    """A number of each target, and that of others whom no model met.

    Attributes:
        name: What the number is.
        targets: Target to its number.
        original: The same of the original model, for power.
        controls: Target to the numbers of its controls.
        questions: Target to how many questions stand behind its number.
        people: Who the controls are.
        is_rate: The number is a share of questions, and no difference of two shares.
    """

    name: str
    targets: Mapping[str, float]
    original: Mapping[str, float]
    controls: Mapping[str, Sequence[float]]
    questions: Mapping[str, int]
    people: str = "controls"
    is_rate: bool = False


class RangeJudgement(NamedTuple):
    """A judgement by others, with the number that was held against them and its limit; None where there was none."""

    judgement: Judgement
    value: float | None = None
    limit: float | None = None


def judge_by_range(judgement: Judgement, one: RangeOfControls, policy: Policy, min_controls: int) -> RangeJudgement:
    """A failed judgement is passed where no target exceeds the policy's percentile of others.

    It stays failed where a target exceeds what chance explains at the joint level, and is inconclusive between the two.
    Inconclusive, too, where a pass could leave more than half of what the original model knows unseen.

    Args:
        judgement: By the margin alone.
        one: The number of the targets and of others.
        policy: Its percentile, and the level of one among all required tests.
        min_controls: Others that every target needs; otherwise the judgement stands.
    """
    few = any(len(one.controls.get(t, ())) < min_controls for t in one.targets)
    if judgement.status != "failed" or not one.targets or few or one.targets.keys() != one.controls.keys():
        return RangeJudgement(judgement)
    percentile, level = policy.matched_controls.percentile, policy.joint_level / len(one.targets)
    limits = {
        t: ChanceLimits.of(one.controls[t], percentile, level, one.questions[t], one.is_rate) for t in one.targets
    }
    statuses = {t: limits[t].judge(value) for t, value in one.targets.items()}
    worst = min(
        sorted(one.targets), key=lambda t: (STATUS_ORDER.index(statuses[t]), limits[t].passing - one.targets[t])
    )
    status, limit, value = statuses[worst], limits[worst], one.targets[worst]
    unseen = max(limits[t].unseen(one.original.get(t, -1.0)) for t in one.targets)
    reason = f"{one.name} {value:.3f}; {percentile:g}th percentile of {limit.count} {one.people}: {limit.passing:.3f}"
    if status != "passed":
        reason += f"; by chance in one of all required checks: up to {limit.failing:.3f}"
    elif unseen > MOST_UNSEEN:
        status = "inconclusive"
        reason += ": too few records to tell half of what the original model knows from chance"
    else:
        reason += f"; of what the original model knows, {unseen:.0%} would stay unseen"
    return RangeJudgement(Judgement(status, reason), value, limit.failing if status == "failed" else limit.passing)


def judge_by_ranges(
    judgement: Judgement, ranges: Sequence[Callable[[], RangeOfControls]], policy: Policy, min_controls: int
) -> RangeJudgement:
    """By the first range that has others; what fails by it must fail by the rest as well, or is inconclusive.

    Args:
        judgement: By the margin alone.
        ranges: What the target is held against, in this order, until one finds no failure.
        policy: Its percentile, and the level of one among all required tests.
        min_controls: Others that every target needs in a range for it to count.
    """
    one = RangeJudgement(judgement)
    for ask in ranges:
        other = judge_by_range(judgement, ask(), policy, min_controls)
        if other.limit is None:
            continue
        if one.limit is None:
            one = other
        else:
            reason = f"{one.judgement.reason}; {other.judgement.reason}"
            is_failure = other.judgement.status == "failed"
            both = Judgement("failed" if is_failure else "inconclusive", reason)
            one = RangeJudgement(both, one.value, one.limit)
        if one.judgement.status != "failed":
            break
    return one


def compare_with_others(result: CheckResult, judge: Callable[[Judgement], RangeJudgement]) -> CheckResult:
    """A failed result, judged by others: its status and reason, and the number and limit that gave them.

    An excess above `BY_CHANCE` over the retrained model stands, and others are not asked. What was measured stands,
    whatever happens while others are asked: an exception ends in the reason.
    """
    if result.status != "failed" or result.rule is None or is_beyond_chance(result):
        return result
    try:
        judgement, value, limit = judge(Judgement("failed", result.reason))
    except Exception as error:
        reason = f"{result.reason}; others could not be asked ({type(error).__name__}: {first_line(error)})"
        return result.model_copy(update={"reason": reason})
    if limit is None:
        return result
    by_chance = (Control(key=CASE, estimate=value), Control(key=LIMIT, estimate=limit))
    fields = {
        "status": judgement.status,
        "reason": f"{judgement.reason}; by the margin alone: {result.reason}",
        "rule": JudgedRule(id=SINGLE_CASE, margin=result.rule.margin),
        "controls": (*result.controls, *by_chance),
    }
    return result.model_copy(update=fields)


def judge_by_controls(
    judgement: Judgement,
    ours: KindRates,
    original: KindRates,
    controls: KindRates,
    groups: Mapping[str, Sequence[str]],
    policy: Policy,
    min_controls: int,
) -> RangeJudgement:
    """Without a retrained model: a failed target is held against the rates of its controls on the same model.

    Args:
        judgement: By the margin alone.
        ours: Rates of the targets on the unlearned model.
        original: Rates of the targets on the original model, for power.
        controls: Rates of the controls on the unlearned model.
        groups: Target to the subjects that are its controls.
        policy: Of the audit.
        min_controls: Controls that every target needs for this.
    """
    if judgement.status != "failed" or not groups:
        return RangeJudgement(judgement)
    rates = {}
    for target, names in groups.items():
        alike = [name for name in names if comparable(controls.count(name), ours.count(target))]
        values = np.array([controls.of({name}) for name in alike])
        rates[target] = values[np.isfinite(values)].tolist()
    targets = list(groups)
    mine, before = ours.by_subject(targets), original.by_subject(targets)
    one = RangeOfControls("rate", mine, before, rates, questions_behind(ours, targets), is_rate=True)
    return judge_by_range(judgement, one, policy, min_controls)
