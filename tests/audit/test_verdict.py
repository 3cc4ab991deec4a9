"""Rules by margin, and the verdict."""

import itertools
import math

import pytest

from expunge.audit.check_result import CheckResult, JudgedRule
from expunge.audit.policy import Policy
from expunge.audit.verdict import judge_excess, judge_retention, require_intervals, verdict, worse_of
from expunge.errors import InputError

POLICY = Policy.parse("""
name: two
version: 1
rules:
  leakage.self: {judge: excess, margin: 0.05, required: true}
  retention.elsewhere: {judge: retention, margin: 0.98, required: true}
  retention.siblings: {judge: retention, margin: 0.95}
""")


def results(**status):
    return [
        CheckResult(key=key.replace("_", "."), status=value, reason="" if value == "passed" else "because")
        for key, value in status.items()
    ]


@pytest.mark.parametrize(
    ("estimate", "bound", "status"),
    [
        (0.01, 0.05, "passed"),
        (0.01, 0.0501, "inconclusive"),
        (0.06, 0.09, "failed"),
        (-0.4, -0.2, "passed"),
        (0.05, None, "passed"),
        (0.051, None, "failed"),
        (None, None, "inconclusive"),
        (math.nan, 0.0, "inconclusive"),
        (0.1 + 0.2 - 0.25, None, "passed"),
    ],
)
def test_an_excess_passes_when_its_upper_bound_is_inside_the_margin(estimate, bound, status):
    found = judge_excess(estimate, bound, 0.05)
    assert found.status == status
    assert found.reason or (status, bound) == ("passed", bound)


@pytest.mark.parametrize(
    ("estimate", "bound", "status"),
    [
        (0.99, 0.95, "passed"),
        (0.99, 0.949, "inconclusive"),
        (0.94, 0.9, "failed"),
        (1.2, 1.1, "passed"),
        (0.95, None, "passed"),
        (0.9, None, "failed"),
        (math.nan, None, "inconclusive"),
    ],
)
def test_retention_passes_when_its_lower_bound_is_inside_the_margin(estimate, bound, status):
    assert judge_retention(estimate, bound, 0.95).status == status


def test_reasons_hold_the_numbers():
    assert judge_excess(0.2, 0.3, 0.05).reason == "excess 0.200, required at most 0.05"
    assert judge_retention(0.97, 0.93, 0.95).reason == (
        "retention 0.970 with lower bound 0.930, required at least 0.95: too little data"
    )
    assert judge_excess(0.0, None, 0.05).reason == "excess 0.000, judged without an interval"


def test_an_audit_passes_only_when_every_required_entry_passed():
    found = verdict(results(leakage_self="passed", retention_elsewhere="passed", retention_siblings="failed"), POLICY)
    assert (found.status, found.exit_code, found.reasons) == ("passed", 0, ())
    passed = 'Passed: all 2 required checks passed under policy "two" version 1.'
    assert found.sentence == f"{passed} Failed, but not required: retention.siblings."
    assert found.notes == ("retention.siblings: failed (because)",)
    assert found.policy_digest == POLICY.digest


@pytest.mark.parametrize(
    ("a", "b"), itertools.product(["passed", "failed", "inconclusive", "not_applicable", "not_run"], repeat=2)
)
def test_anything_else_keeps_it_from_passing(a, b):
    found = verdict(results(leakage_self=a, retention_elsewhere=b), POLICY)
    expected = "failed" if "failed" in (a, b) else "passed" if a == b == "passed" else "inconclusive"
    assert found.status == expected
    assert found.exit_code == (0 if expected == "passed" else 3)


def test_a_missing_required_entry_counts_as_not_run():
    found = verdict(results(leakage_self="passed"), POLICY)
    assert found.status == "inconclusive"
    assert found.reasons == ("retention.elsewhere: not run (no such result in the audit)",)
    assert verdict([], POLICY).status == "inconclusive"


def test_the_sentence_names_failures_first():
    found = verdict(results(leakage_self="not_run", retention_elsewhere="failed"), POLICY)
    assert found.sentence == (
        'Not passed: 2 of 2 required checks did not pass under policy "two" version 1 '
        "(failed: retention.elsewhere; not run: leakage.self)."
    )
    found = verdict(results(leakage_self="not_run", retention_elsewhere="passed"), POLICY)
    assert found.sentence.startswith("Not passed, inconclusive: 1 of 2")


def test_a_key_that_occurs_twice_is_refused():
    with pytest.raises(InputError, match=r'result "leakage\.self" occurs twice'):
        verdict(results(leakage_self="failed") + results(leakage_self="passed"), POLICY)


WHERE = """
name: t
version: 1
rules:
  a: {judge: excess, margin: 0.1, required: true}
  b: {judge: retention, margin: 0.9, required: where_applicable}
  c: {judge: retention, margin: 0.9, required: where_applicable}
  d: {judge: excess, margin: 0.1, required: where_applicable}
"""


def test_required_where_applicable_does_not_block_other_scopes() -> None:
    policy = Policy.parse(WHERE)
    a, b = CheckResult(key="a", status="passed"), CheckResult(key="b", status="passed")
    c, d = (CheckResult(key=k, status="not_applicable", reason="there are no such records") for k in "cd")
    assert verdict([a, b, c, d], policy).status == "passed"
    assert verdict([a, CheckResult(key="b", status="failed", reason="lost"), c, d], policy).status == "failed"
    assert verdict([a, b, c], policy).status == "inconclusive"
    assert (
        verdict([CheckResult(key="a", status="not_applicable", reason="?"), b, c, d], policy).status == "inconclusive"
    )


def test_where_no_retention_was_measured_nothing_passes() -> None:
    """A ruined model forgets everything: with an empty retain set, nothing would tell it from one that forgot."""
    a = CheckResult(key="a", status="passed")
    absent = [CheckResult(key=k, status="not_applicable", reason="there are no such records") for k in "bcd"]
    ruling = verdict([a, *absent], Policy.parse(WHERE))
    assert (ruling.status, ruling.exit_code) == ("inconclusive", 3)
    assert ruling.reasons == tuple(f"{k}: not applicable (there are no such records)" for k in "bc")


def test_a_policy_that_asks_for_little_says_so_in_the_verdict() -> None:
    rule = "name: p\nversion: 1\nrules: {{a: {{judge: {}, margin: 0.5, required: true}}}}"
    a = CheckResult(key="a", status="passed")
    for judge, omitted in (("retention", "forgetting"), ("excess", "retention"), ("controls", "retention")):
        sentence = verdict([a], Policy.parse(rule.format(judge))).sentence
        assert sentence.endswith(f'under policy "p" version 1, which requires nothing of {omitted}.')


def measured(key: str, status: str, rule: str = "excess", ci: tuple[float, float] | None = None) -> CheckResult:
    return CheckResult(key=key, status=status, reason="because", estimate=0.0, ci=ci, rule=JudgedRule(id=rule))


def test_a_policy_with_intervals_takes_no_estimate_alone() -> None:
    rows = [
        measured("a", "passed"),
        measured("b", "passed", ci=(0.0, 0.1)),
        measured("c", "passed", rule="matched_controls"),
        measured("d", "failed"),
        CheckResult(key="e", status="passed"),
    ]
    found = require_intervals(rows)
    assert [r.status for r in found] == ["inconclusive", "passed", "passed", "failed", "passed"]
    assert found[0].reason == "no interval, and the policy wants one: too few subjects; because"


def test_against_two_references_the_worse_result_counts() -> None:
    first = [measured("a", "passed"), measured("b", "failed"), measured("c", "not_applicable"), measured("d", "passed")]
    second = [measured("a", "failed"), measured("b", "passed"), measured("c", "passed"), measured("e", "passed")]
    found = {r.key: r for r in worse_of(first, second, "controls")}
    assert {key: r.status for key, r in found.items()} == {
        "a": "failed",
        "b": "failed",
        "c": "passed",
        "d": "passed",
        "e": "passed",
    }
    assert found["a"].reason == "against controls: because"
    assert found["b"].reason == "because"
