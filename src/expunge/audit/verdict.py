"""The verdict: one status and one sentence from the results and the policy.

Only required results decide, and any status but `passed` keeps the audit from passing: a check that did not run, a
test without power and a check that does not apply are no evidence of forgetting.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Literal, NamedTuple

from pydantic import Field

from expunge._config import FrozenModel
from expunge.audit.check_result import CheckResult, Status
from expunge.audit.policy import Policy, needed
from expunge.errors import InputError

STATUS_ORDER: tuple[Status, ...] = ("failed", "inconclusive", "passed")  # the worst first
EPSILON = 1e-9  # float rounding must not decide at the margin itself


class Judgement(NamedTuple):
    """Status by a margin, and the reason in numbers."""

    status: Literal["passed", "failed", "inconclusive"]
    reason: str = ""


class Verdict(FrozenModel):
    """The outcome of an audit."""

    status: Literal["passed", "failed", "inconclusive"] = Field(
        description="failed: a required result failed; inconclusive: not shown either way"
    )
    sentence: str = Field(description="the verdict in one sentence")
    reasons: tuple[str, ...] = Field((), description="required results that did not pass, with reasons")
    notes: tuple[str, ...] = Field((), description="other results that did not pass, with reasons")
    policy: str = Field(description="name of the policy")
    policy_digest: str = Field(description="SHA-256 of the policy")

    @property
    def exit_code(self) -> int:
        """0 passed, 3 otherwise."""
        return 0 if self.status == "passed" else 3


def same_outcome(one: Verdict, other: Verdict) -> bool:
    """Whether two verdicts say the same, in words that another version of the program may have chosen otherwise.

    Status, policy and its digest are equal, the sentences open alike ("Passed", "Not passed"), and reasons and notes
    name the same results with the same status.
    """

    def outcome(of: Verdict) -> tuple[object, ...]:
        lines = tuple(tuple(line.partition(" (")[0] for line in lines) for lines in (of.reasons, of.notes))
        return of.status, of.policy, of.policy_digest, of.sentence.partition(":")[0], lines

    return outcome(one) == outcome(other)


def judge_excess(estimate: float | None, ucb: float | None, margin: float, lcb: float | None = None) -> Judgement:
    """Non-inferiority: passed if the upper confidence bound of the excess is at most the margin.

    Without a bound (few subjects) the estimate decides. A margin between the bounds is `inconclusive`: too little data
    to say that the excess lies below it, or above. Where the lower bound is not given, an estimate above the margin
    fails.
    """
    return _judge("excess", estimate, ucb, margin, lcb, sign=1)


def judge_retention(estimate: float | None, lcb: float | None, margin: float, ucb: float | None = None) -> Judgement:
    """Passed if the lower confidence bound of the retention is at least the margin; see `judge_excess`."""
    return _judge("retention", estimate, lcb, margin, ucb, sign=-1)


def _judge(
    name: str, estimate: float | None, bound: float | None, margin: float, best: float | None, sign: int
) -> Judgement:
    if estimate is None or math.isnan(estimate):
        return Judgement("inconclusive", f"{name} could not be estimated")
    side, other, limit = ("upper", "lower", "at most") if sign > 0 else ("lower", "upper", "at least")
    if sign * estimate > sign * margin + EPSILON:
        reason = f"{name} {estimate:.3f}, required {limit} {margin:g}"
        if best is None or math.isnan(best) or sign * best > sign * margin + EPSILON:
            return Judgement("failed", reason)
        return Judgement("inconclusive", f"{reason}, and its {other} bound is {best:.3f}: too little data")
    if bound is None or math.isnan(bound):
        return Judgement("passed", f"{name} {estimate:.3f}, judged without an interval")
    if sign * bound > sign * margin + EPSILON:
        return Judgement(
            "inconclusive",
            f"{name} {estimate:.3f} with {side} bound {bound:.3f}, required {limit} {margin:g}: too little data",
        )
    return Judgement("passed")


def verdict(results: Iterable[CheckResult], policy: Policy) -> Verdict:
    """Judge an audit. A missing required result counts as `not_run`; `InputError` for a repeated key."""
    by_key: dict[str, CheckResult] = {}
    for result in results:
        if result.key in by_key:
            raise InputError("audit", f'result "{result.key}" occurs twice', "keep one result for each key")
        by_key[result.key] = result
    required = [
        by_key.get(key) or CheckResult(key=key, status="not_run", reason="no such result in the audit")
        for key in needed(policy.rules, {key: result.status for key, result in by_key.items()})
    ]
    short = [result for result in required if result.status != "passed"]
    count = Counter(result.status for result in short)
    status: Literal["passed", "failed", "inconclusive"] = (
        "failed" if count["failed"] else "inconclusive" if short else "passed"
    )
    return Verdict(
        status=status,
        sentence=_sentence(status, required, short, policy) + _other_failures(by_key, {r.key for r in required}),
        reasons=tuple(_line(result) for result in short),
        notes=tuple(
            _line(r)
            for key, r in by_key.items()
            if key not in policy.required and r.status != "passed" and not r.is_omitted
        ),
        policy=policy.name,
        policy_digest=policy.digest,
    )


def require_intervals(results: Iterable[CheckResult]) -> tuple[CheckResult, ...]:
    """The results; excess and retention that passed without an interval become inconclusive.

    Rank tests among controls need none.
    """
    without = "no interval, and the policy wants one: too few subjects"
    return tuple(
        r.model_copy(update={"status": "inconclusive", "reason": f"{without}; {r.reason}".rstrip("; ")})
        if r.status == "passed" and r.ci is None and r.rule and (r.rule.is_excess or r.rule.id == "retention")
        else r
        for r in results
    )


def worse_of(first: Iterable[CheckResult], second: Iterable[CheckResult], reference: str) -> tuple[CheckResult, ...]:
    """By key the result with the worse status; of equal ones the first. `reference` names that of `second`."""
    order = ("failed", "not_run", "inconclusive", "passed", "not_applicable")
    others = {r.key: r for r in second}
    joined = []
    for result in first:
        other = others.pop(result.key, result)
        if order.index(other.status) < order.index(result.status):
            result = other.model_copy(update={"reason": f"against {reference}: {other.reason}"})
        joined.append(result)
    return (*joined, *others.values())


def _other_failures(results: Mapping[str, CheckResult], required: Collection[str]) -> str:
    """What failed although the policy does not require it, so that a pass does not hide it; empty if nothing did."""
    keys = [key for key, result in results.items() if result.status == "failed" and key not in required]
    return f" Failed, but not required: {', '.join(keys)}." if keys else ""


def _line(result: CheckResult) -> str:
    return f"{result.key}: {result.status.replace('_', ' ')} ({result.reason})"


def _sentence(status: str, required: list[CheckResult], short: list[CheckResult], policy: Policy) -> str:
    rule = f'policy "{policy.name}" version {policy.version}'
    if not short:
        omitted = f", which requires nothing of {' and '.join(policy.omits)}" if policy.omits else ""
        return f"Passed: all {len(required)} required checks passed under {rule}{omitted}."
    groups: dict[str, list[str]] = {}
    for result in sorted(short, key=lambda r: r.status != "failed"):
        groups.setdefault(result.status.replace("_", " "), []).append(result.key)
    listed = "; ".join(f"{status}: {', '.join(keys)}" for status, keys in groups.items())
    opening = "Not passed" if status == "failed" else "Not passed, inconclusive"
    return f"{opening}: {len(short)} of {len(required)} required checks did not pass under {rule} ({listed})."
