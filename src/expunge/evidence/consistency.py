"""Do the parts of a certificate follow from each other? Signers can sign what is not so; these rules find some."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from expunge.audit.check_result import CASE, LIMIT, SINGLE_CASE, CheckResult, is_beyond_chance
from expunge.audit.policy import needed
from expunge.audit.verdict import EPSILON, judge_excess, judge_retention, same_outcome, verdict
from expunge.errors import InputError
from expunge.evidence.certificate_schema import CertificatePredicate
from expunge.evidence.coverage import CLASSES, deltas, row_fits
from expunge.evidence.manifest import manifest_root
from expunge.evidence.moments import parse_moment
from expunge.evidence.statement import Statement


def contradictions(predicate: CertificatePredicate, statement: Statement) -> list[str]:
    """Every contradiction between parts of a certificate, a line each."""
    return [
        *_verdict(predicate),
        *(line for result in predicate.audit.results for line in _result(result, predicate)),
        *_derived(predicate),
        *_digests(predicate, statement),
    ]


def _verdict(predicate: CertificatePredicate) -> Iterator[str]:
    audit = predicate.audit
    if {audit.policy_digest, audit.verdict.policy_digest} != {audit.policy.digest}:
        yield "the policy is not the one that its digest names"
    try:
        computed = verdict(audit.results, audit.policy)
    except InputError as error:
        yield error.what
        return
    if not same_outcome(computed, audit.verdict):
        yield f"the verdict is {audit.verdict.status}, and its results and policy give {computed.status}"


def _result(result: CheckResult, predicate: CertificatePredicate) -> Iterator[str]:
    """What does not fit within one result."""
    policy, key = predicate.audit.policy, result.key
    yield from (f"{key}: {text}" for text in interval_problems(result.model_dump()))
    if result.status != "passed":
        return
    statuses = {r.key: r.status for r in predicate.audit.results}
    if key in needed(policy.rules, statuses) and (result.estimate is None or not result.n_records):
        yield f"{key}: passed, and nothing was measured"
    if (rule := policy.rules.get(key)) and result.rule and (result.rule.is_excess or result.rule.id == "retention"):
        if result.rule.margin is None or abs(result.rule.margin - rule.margin) > EPSILON:
            yield f"{key}: judged by the margin {result.rule.margin}, and the policy has {rule.margin}"
        if policy.intervals and result.ci is None:
            yield f"{key}: passed without an interval, and the policy wants one"
    if (status := _judged(result)) not in (None, "passed"):
        yield f"{key}: passed, and its numbers give {status}"


def _judged(result: CheckResult) -> str | None:
    """The status that the numbers of a result give by themselves; None where they do not decide it alone."""
    if result.rule is None or result.rule.margin is None or result.reference is None:
        return None
    low, high = result.ci or (None, None)
    by_chance = {c.key: c.estimate for c in result.controls if c.key in (CASE, LIMIT)}
    if result.rule.id == SINGLE_CASE:
        value, limit = by_chance.get(CASE), by_chance.get(LIMIT)
        is_inside = value is not None and limit is not None and value <= limit
        return "passed" if is_inside and not is_beyond_chance(result) else "failed"
    if result.rule.id == "retention":
        return judge_retention(result.estimate, low, result.rule.margin).status
    if result.rule.id == "excess" and result.reference.role == "retrained":
        return judge_excess(result.estimate, high, result.rule.margin).status
    return None


def interval_problems(value: Any, name: str = "") -> Iterator[str]:
    """Intervals in a result, at any depth, that are turned around or do not contain their estimate."""
    if isinstance(value, dict):
        low, high = value.get("ci") or (None, None)
        estimate = value.get("estimate")
        what = f"{value.get('key', name)}: " if name else ""
        if low is not None and high is not None and low > high + EPSILON:
            yield f"{what}its interval ends before it begins"
        elif estimate is not None and not _lies_in(estimate, low, high):
            yield f"{what}its interval [{low}, {high}] does not contain the estimate {estimate}"
        for key, inner in value.items():
            yield from interval_problems(inner, key)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from interval_problems(inner, name)


def _lies_in(value: float, low: float | None, high: float | None) -> bool:
    room = 1e-6 * max(1.0, abs(value))
    return (low is None or value >= low - room) and (high is None or value <= high + room) and math.isfinite(value)


def _derived(predicate: CertificatePredicate) -> Iterator[str]:
    results = predicate.audit.results
    utility, neighbors = deltas(results)
    if predicate.utility != utility or predicate.neighbors != neighbors:
        yield "utility and neighbors are not those of the results of retention"
    classes = {row.attack_class for row in predicate.coverage}
    if classes != set(CLASSES) or any(not row_fits(row, results) for row in predicate.coverage):
        yield "the table of attack classes does not follow from the results"
    if set(predicate.audit.threat_models) != {result.key for result in results}:
        yield "the threat models are not those of the results"
    if (predicate.audit.comparison == "retrained") and not predicate.audit.retrained:
        yield "compares with a retrained model and names none"
    if parse_moment(predicate.validity.expires) <= parse_moment(predicate.validity.made):
        yield "expires before it was made"
    if predicate.single_person != any("single-person" in limit for limit in predicate.limits):
        yield "single_person and the limits say different things"


def _digests(predicate: CertificatePredicate, statement: Statement) -> Iterator[str]:
    files = {subject.name: subject.digest.sha256 for subject in statement.subject}
    if manifest_root(files) != predicate.artifacts.manifest_root:
        yield "the manifest root is not the one of the files"
    plan = predicate.plan
    if plan is not None:
        expected = {
            "request": predicate.request.id,
            "recipe": predicate.method.recipe,
            "policy": predicate.audit.policy_digest,
            "model": predicate.artifacts.before,
            "training": predicate.data.training,
        }
        for name, value in expected.items():
            if getattr(plan, name) != value:
                yield f"the {name} is not that of the plan"
    for name, commitment in predicate.data.commitments.items():
        if commitment.count != (count := getattr(predicate.data, name)):
            yield f"the commitment to {name} counts {commitment.count} records, and the set {count}"
