"""Results of checks."""

import json
import math

import numpy as np
import pytest
from pydantic import ValidationError

from expunge.audit.check_result import CheckResult, Control, JudgedRule, ReferenceValue
from expunge.audit.statistics import Interval, bootstrap_mean


def test_numbers_that_do_not_exist_are_null_and_never_nan():
    result = CheckResult(
        key="a",
        status="inconclusive",
        reason="none",
        estimate=math.nan,
        ci=(math.nan, math.inf),
        p=-math.inf,
        reference=ReferenceValue(role="x", estimate=math.nan),
        controls=(Control(key="controls", estimate=math.nan, ci=(0.1, math.nan)),),
    )
    row = json.loads(json.dumps(result.model_dump(mode="json"), allow_nan=False))
    assert row["estimate"] is row["p"] is row["reference"]["estimate"] is None
    assert row["ci"] == [None, None]
    assert row["controls"][0]["ci"] == [0.1, None]


def test_a_result_survives_json():
    result = CheckResult(
        key="leakage.self",
        status="failed",
        reason="too much",
        estimate=0.2,
        ci=(0.1, 0.3),
        p=0.01,
        seed=3,
        rule=JudgedRule(id="excess", margin=0.05),
        power=True,
    )
    assert CheckResult.model_validate_json(json.dumps(result.model_dump(mode="json"))) == result


@pytest.mark.parametrize("status", ["failed", "inconclusive", "not_applicable", "not_run"])
def test_every_status_but_passed_says_why(status):
    with pytest.raises(ValidationError, match=f'result "a" is {status} without a reason'):
        CheckResult(key="a", status=status)
    assert CheckResult(key="a", status=status, reason="because").status == status


def test_unknown_statuses_and_fields_are_refused():
    with pytest.raises(ValidationError):
        CheckResult(key="a", status="fine")
    with pytest.raises(ValidationError):
        CheckResult(key="a", status="passed", estimat=1)


def test_an_interval_becomes_estimate_bounds_and_counts():
    few = CheckResult.measured("a", "passed", bootstrap_mean(np.array([1.0, 3.0]), ["p", "q"]), seed=7)
    assert (few.estimate, few.ci, few.n_records, few.n_subjects, few.seed) == (2, None, 2, 2, 7)
    assert few.ci_method == "none: fewer than 10 subjects"
    wide = CheckResult.measured("a", "failed", Interval(0.5, 0.4, 0.6, "clopper-pearson", 10, 3), "why")
    assert (wide.ci, wide.reason) == ((0.4, 0.6), "why")
