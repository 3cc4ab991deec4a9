"""From entries and a policy to one status and one sentence.

Surprising: only required entries decide, and anything but `passed` keeps the audit from passing: an attack
that did not run, a test without power and a question that did not apply are no evidence of forgetting.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from expunge.audit.check_result import CheckResult
from expunge.audit.policy import Policy, needed
from expunge.errors import InputError

EPSILON = 1e-9  # float rounding must not decide at the margin itself


class Judgement(NamedTuple):
    """Status by a margin, with the reason in numbers (also for `passed`, where there is something to add)."""

    status: Literal["passed", "failed", "inconclusive"]
    reason: str = ""


class Verdict(BaseModel):
    """`passed`, or `failed` (a required entry failed), or `inconclusive` (not shown either way)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: Literal["passed", "failed", "inconclusive"]
    sentence: str
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    policy: str
    policy_digest: str

    @property
    def exit_code(self) -> int:
        """0 passed, 3 otherwise."""
        return 0 if self.status == "passed" else 3


def judge_excess(estimate: float | None, ucb: float | None, margin: float) -> Judgement:
    """Non-inferiority: the upper bound of the excess lies at or below the margin.

    Without a bound (`ucb` None: few subjects) the estimate decides. An estimate inside the margin whose bound
    is outside is `inconclusive`: too little data to show it.
    """
    return _judge("excess", estimate, ucb, margin, sign=1)


def judge_retention(estimate: float | None, lcb: float | None, margin: float) -> Judgement:
    """The lower bound of the retention lies at or above the margin; see `judge_excess` for missing bounds."""
    return _judge("retention", estimate, lcb, margin, sign=-1)


def _judge(name: str, estimate: float | None, bound: float | None, margin: float, sign: int) -> Judgement:
    if estimate is None or math.isnan(estimate):
        return Judgement("inconclusive", f"{name} could not be estimated")
    side, limit = ("upper", "at most") if sign > 0 else ("lower", "at least")
    if sign * estimate > sign * margin + EPSILON:
        return Judgement("failed", f"{name} {estimate:.3f}, required {limit} {margin:g}")
    if bound is None or math.isnan(bound):
        return Judgement("passed", f"{name} {estimate:.3f}, judged without an interval")
    if sign * bound > sign * margin + EPSILON:
        return Judgement(
            "inconclusive",
            f"{name} {estimate:.3f} with {side} bound {bound:.3f}, required {limit} {margin:g}: too little data",
        )
    return Judgement("passed")


def verdict(entries: Iterable[CheckResult], policy: Policy) -> Verdict:
    """Judge an audit. A missing required entry counts as `not_run`; `InputError` for a repeated key."""
    by_key: dict[str, CheckResult] = {}
    for entry in entries:
        if entry.key in by_key:
            raise InputError("audit", f'entry "{entry.key}" occurs twice', "keep one entry for each key")
        by_key[entry.key] = entry
    required = [
        by_key.get(key) or CheckResult(key=key, status="not_run", reason="no such entry in the audit")
        for key in needed(policy.rules, {key: entry.status for key, entry in by_key.items()})
    ]
    short = [entry for entry in required if entry.status != "passed"]
    count = Counter(entry.status for entry in short)
    status: Literal["passed", "failed", "inconclusive"] = (
        "failed" if count["failed"] else "inconclusive" if short else "passed"
    )
    return Verdict(
        status=status,
        sentence=_sentence(status, required, short, policy),
        reasons=tuple(_line(entry) for entry in short),
        notes=tuple(
            _line(entry) for key, entry in by_key.items() if key not in policy.required and entry.status != "passed"
        ),
        policy=policy.name,
        policy_digest=policy.digest,
    )


def _line(entry: CheckResult) -> str:
    return f"{entry.key}: {entry.status.replace('_', ' ')} ({entry.reason})"


def _sentence(status: str, required: list[CheckResult], short: list[CheckResult], policy: Policy) -> str:
    rule = f'policy "{policy.name}" version {policy.version}'
    if not short:
        return f"Passed: all {len(required)} required checks passed under {rule}."
    groups: dict[str, list[str]] = {}
    for entry in sorted(short, key=lambda e: e.status != "failed"):
        groups.setdefault(entry.status.replace("_", " "), []).append(entry.key)
    listed = "; ".join(f"{what}: {', '.join(keys)}" for what, keys in groups.items())
    opening = "Not passed" if status == "failed" else "Not passed, inconclusive"
    return f"{opening}: {len(short)} of {len(required)} required checks did not pass under {rule} ({listed})."
