"""Leakage against controls, with numbers that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from expunge.audit.kind_rates import KindRates, control_excess
from expunge.audit.policy import default_policy
from expunge.audit.range_of_controls import judge_by_controls
from expunge.audit.statistics import Bootstrap
from expunge.audit.verdict import Judgement, judge_excess

FORTY = [f"c{k}" for k in range(40)]


def rates(*values: float, subjects: list[str] | None = None, kind: str = "generation") -> KindRates:
    return KindRates({kind: np.array(values)}, subjects or ["t"] * len(values))


def controls(lucky: int) -> KindRates:
    """Forty controls of four records each; `lucky` of them guess one of four right."""
    return rates(
        *([1.0, 0, 0, 0] * lucky + [0.0] * 4 * (40 - lucky)), subjects=[name for name in FORTY for _ in range(4)]
    )


def test_the_excess_over_controls_is_worst_kind_minus_worst_kind() -> None:
    both = rates(1, 0) + rates(1, 1, kind="cloze")
    assert both.worst == ("cloze", 1.0)
    assert both.subjects == ["t"] * 4
    found = control_excess(both, controls(20), Bootstrap())
    assert (found.estimate, found.low, found.method) == (1 - 0.125, None, "difference to controls")
    assert (found.n_records, found.n_subjects) == (4, 1)


def test_many_subjects_have_an_interval_of_both_sides() -> None:
    names = [f"t{k}" for k in range(20)]
    ours = rates(*([1.0] * 10 + [0.0] * 10), subjects=names)
    found = control_excess(ours, controls(0), Bootstrap())
    assert found.estimate == 0.5
    assert found.low is not None
    assert found.low < 0.5 < found.upper
    assert control_excess(rates(*[0.0] * 20, subjects=names), controls(0), Bootstrap()).upper == 0.0


def judged(ours: KindRates, original: KindRates, others: KindRates, names: list[str]) -> Judgement:
    start = judge_excess(control_excess(ours, others, Bootstrap()).estimate, None, 0.05)
    return judge_by_controls(start, ours, original, others, {"t": names}, default_policy(True), 40).judgement


@pytest.mark.parametrize(
    ("ours", "original", "lucky", "status", "reason"),
    [
        ((0, 0, 0, 0), (1, 1, 1, 1), 0, "passed", "judged without an interval"),
        ((1, 0, 0, 0), (1, 1, 1, 1), 4, "passed", "rate 0.250; 95th percentile of 40 controls: 0.250"),
        (
            (1, 0, 0, 0),
            (1, 1, 1, 1),
            0,
            "inconclusive",
            "40 controls: 0.000; by chance in one of all required checks: up to 0.331",
        ),
        ((1, 1, 0, 0), (1, 1, 1, 1), 0, "failed", "in one of all required checks: up to 0.331"),
        ((1, 1, 0, 0), (1, 1, 1, 1), 4, "failed", "in one of all required checks: up to 0.356"),
        ((1, 0, 0, 0), (1, 0, 0, 0), 4, "inconclusive", "too few records"),
    ],
)
def test_four_records_of_one_subject_can_pass_and_can_fail(
    ours: tuple[int, ...], original: tuple[int, ...], lucky: int, status: str, reason: str
) -> None:
    result = judged(rates(*ours), rates(*original), controls(lucky), FORTY)
    assert result.status == status, result
    assert reason in result.reason


def test_fewer_controls_than_the_policy_wants_give_no_range() -> None:
    assert judged(rates(1, 0, 0, 0), rates(1, 1, 1, 1), controls(4), FORTY[:39]).status == "failed"


def test_questions_of_the_worst_kind_stand_behind_a_rate() -> None:
    both = rates(1, 0, 0) + rates(1, 1, kind="cloze")
    assert both.count_worst("t") == 2
    assert both.count_worst("nobody") == 1
