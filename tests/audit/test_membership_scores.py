"""Membership scores, the excess over a reference, and the calibration probe."""

import math
import zlib

import numpy as np
import pytest
from hypothesis import given

from expunge.audit import membership_scores as m
from expunge.audit.statistics import Bootstrap, Interval
from helpers.audits import ragged, records, scores

PLAN = Bootstrap(draws=300)


def interval(estimate, low, high):
    return Interval(estimate, low, high, "bootstrap over subjects", 100, 100)


def test_loss_is_the_mean_log_probability():
    assert m.loss(scores([[-1, -3]])).tolist() == [-2]


def test_confident_answers_look_like_members():
    s = scores([[-1, -1], [-1, -1]], mu=np.array([-0.5, -1.5, -0.1, -3.9]))
    assert m.entropy_forced(s) == pytest.approx([-1, -2])
    assert m.entropy(s) == pytest.approx([-0.5, -0.1])


def test_zlib_divides_by_the_compressed_answer():
    text = "aaaaaaaaaaaaaaaaaaaaaaaaa"
    assert m.compressed_bytes(text) == len(zlib.compress(text.encode())) == 11
    assert m.zlib_score(scores([[-2.2]]), tuple(records(text).values())) == pytest.approx([-0.2])


def test_min_k_takes_the_least_likely_tokens():
    s = scores([[-0.1, -0.5, -2, -3]])
    assert m.min_k(s, k=0.5) == pytest.approx([-2.5])
    assert m.min_k(s) == pytest.approx([-3])
    assert m.lowest_mean(np.arange(100.0), 0.29) == 14  # 0.29 * 100 is 28.999… in floats: still 29 values


def test_min_k_pp_standardizes_by_the_vocabulary():
    p = np.array([0.7, 0.2, 0.1])
    mu = (p * np.log(p)).sum()
    sigma = math.sqrt((p * np.log(p) ** 2).sum() - mu**2)
    assert (mu, sigma) == (pytest.approx(-0.802, abs=5e-4), pytest.approx(0.703, abs=5e-4))
    s = scores([[math.log(0.2)]], mu=np.array([mu]), sigma=np.array([sigma]))
    assert m.min_k_pp(s) == pytest.approx([-1.149], abs=5e-4)


def test_min_k_pp_of_a_certain_model_is_finite():
    assert m.min_k_pp(scores([[0.0]], mu=np.zeros(1), sigma=np.zeros(1))).tolist() == [0]


@given(ragged())
def test_every_score_is_a_number_and_belongs_to_its_record(s):
    rows = tuple(records(*s.ids).values())
    backwards = s.select(s.ids[::-1])
    for score in m.MEMBERSHIP.values():
        values = score(s, rows)
        assert np.isfinite(values).all()
        assert np.array_equal(values[::-1], score(backwards, rows[::-1]))


def test_subject_means_are_sorted_by_subject():
    assert m.by_subject(np.array([1.0, 2, 3]), ["b", "a", "b"]) == {"a": 2, "b": 2}


def people(n):
    return [str(i) for i in range(n)]


def test_a_model_like_the_reference_has_no_excess():
    rng = np.random.default_rng(0)
    inside, outside = rng.normal(size=30), rng.normal(size=30)
    found = m.auc_excess((inside, inside), (outside, outside), people(30), people(30), PLAN)
    assert (found.excess.estimate, found.excess.low, found.excess.high) == (0, 0, 0)
    assert m.judge_unknown(found.excess) == "passed"


def test_remaining_members_are_an_excess_and_vanished_ones_are_unknown():
    rng = np.random.default_rng(0)
    inside, outside = rng.normal(size=30), rng.normal(size=30)
    leak = m.auc_excess((inside + 3, inside), (outside, outside), people(30), people(30), PLAN)
    assert leak.excess.low > 0.05
    assert m.judge_unknown(leak.excess) == "passed"
    gone = m.auc_excess((inside - 3, inside), (outside, outside), people(30), people(30), PLAN)
    assert gone.excess.high < 0
    assert m.judge_unknown(gone.excess) == "failed"


def test_an_interval_that_reaches_the_margin_leaves_open_who_is_unknown():
    assert m.judge_unknown(interval(-0.06, -0.2, -0.051)) == "failed"
    assert m.judge_unknown(interval(-0.06, -0.2, -0.04)) == "inconclusive"
    assert m.judge_unknown(interval(-0.05, -0.2, 0.1)) == "passed"
    assert m.judge_unknown(interval(-0.06, None, None)) == "failed"


def test_calibration_passes_near_one_half_with_power():
    assert m.calibrate({"controls": interval(0.5, 0.46, 0.54)}, interval(0.9, 0.8, 1)).status == "passed"


@pytest.mark.parametrize(
    "probe", [interval(0.332, 0.28, 0.38), interval(0.7, 0.62, 0.78), interval(math.nan, None, None)]
)
def test_sets_that_differ_allow_no_verdict(probe):
    found = m.calibrate({"forget against holdout": probe}, interval(0.9, 0.8, 1))
    assert found.status == "inconclusive"
    assert found.reason.startswith("sets differ: AUC of forget against holdout")


@pytest.mark.parametrize(
    ("power", "reason"),
    [
        (None, "has no lower bound"),
        (interval(0.9, None, None), "has no lower bound"),
        (interval(0.55, 0.48, 0.62), "has 0.480 as lower bound"),
    ],
)
def test_an_attack_that_cannot_see_the_original_has_no_power(power, reason):
    found = m.calibrate({}, power)
    assert found.status == "inconclusive"
    assert found.reason.startswith("no power")
    assert found.reason.endswith(reason)
