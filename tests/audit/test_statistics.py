"""Intervals, tests and bounds, with numbers that can be checked by hand."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge._binomial import clopper_pearson, zero_hit_bound
from expunge.audit import statistics as s

PLAN = s.Bootstrap(draws=400)
scores_of = st.lists(st.integers(-3, 3), min_size=1, max_size=9)


def test_bootstrap_of_subjects_covers_the_mean_and_repeats_itself():
    values, subjects = np.arange(40.0), [f"s{i // 2}" for i in range(40)]
    one, two = (s.bootstrap_mean(values, subjects, PLAN) for _ in range(2))
    assert one == two
    assert one.estimate == 19.5
    assert one.low < 19.5 < one.high
    assert (one.n_records, one.n_subjects) == (40, 20)
    # 20 subject means with s.d. 11.53: standard error 2.58, so about 19.5 ± 5.05
    assert (one.low, one.high) == (pytest.approx(14.45, abs=1.2), pytest.approx(24.55, abs=1.2))


def test_another_seed_gives_another_interval():
    values, subjects = np.arange(20.0), [str(i) for i in range(20)]
    other = s.Bootstrap(draws=400, seed=1)
    assert s.bootstrap_mean(values, subjects, PLAN) != s.bootstrap_mean(values, subjects, other)


def test_records_of_one_subject_do_not_make_an_interval_narrow():
    values = np.repeat(np.arange(10.0), 50)
    together = s.bootstrap_mean(values, [str(v) for v in values], PLAN)
    apart = s.bootstrap_mean(values, [str(i) for i in range(500)], PLAN)
    assert together.high - together.low > 5 * (apart.high - apart.low)


def test_below_ten_subjects_there_is_no_interval():
    found = s.bootstrap_mean(np.arange(9.0), list("abcdefghi"), PLAN)
    assert (found.low, found.high) == (None, None)
    assert found.method == "none: fewer than 10 subjects"
    assert found.upper == found.lower == found.estimate == 4


@settings(max_examples=25)
@given(st.lists(st.floats(-5, 5), min_size=12, max_size=20), st.randoms(use_true_random=False))
def test_renaming_subjects_or_shuffling_records_changes_nothing(values, random):
    subjects = [f"s{i % 11}" for i in range(len(values))]
    order = random.sample(range(len(values)), len(values))
    names = dict(zip(sorted(set(subjects)), random.sample("zyxwvutsrqp", 11), strict=True))
    plan = s.Bootstrap(draws=50)
    first = s.bootstrap_mean(np.array(values), subjects, plan)
    again = s.bootstrap_mean(np.array(values)[order], [names[subjects[i]] for i in order], plan)
    assert (first.low, first.high) == (again.low, again.high)
    assert first.estimate == pytest.approx(again.estimate, abs=1e-12)


def test_missing_values_are_left_out_and_counted_out():
    found = s.bootstrap_mean(np.array([1.0, np.nan, 3.0]), ["a", "b", "c"])
    assert (found.estimate, found.n_records, found.n_subjects) == (2, 2, 2)
    assert math.isnan(s.bootstrap_mean(np.array([]), []).estimate)
    with pytest.raises(ValueError, match="2 records but 1 subjects"):
        s.bootstrap_mean(np.zeros(2), ["a"])


def test_resamples_without_anything_known_are_left_out():
    before = np.array([1.0] + [0.0] * 9)
    found = s.bootstrap_ratio(before, before, list("abcdefghij"), PLAN)
    assert (found.estimate, found.low, found.high) == (1, 1, 1)
    nothing = s.bootstrap_ratio(before, np.zeros(10), list("abcdefghij"), PLAN)
    assert math.isnan(nothing.estimate)
    assert nothing.low is nothing.high is None


def test_paired_difference_is_narrower_than_its_parts():
    rng = np.random.default_rng(0)
    base = rng.normal(size=30)
    subjects = [str(i) for i in range(30)]
    found = s.paired_difference(base + 0.1, base, subjects, PLAN)
    assert (found.low, found.high) == (pytest.approx(0.1), pytest.approx(0.1))
    assert s.paired_difference(base, base, subjects, PLAN).upper == 0


def test_clopper_pearson_bounds_of_a_rate():
    assert clopper_pearson(1, 10) == pytest.approx((0.00253, 0.44502), abs=1e-5)
    assert clopper_pearson(5, 10) == pytest.approx((0.18709, 0.81291), abs=1e-5)
    assert clopper_pearson(0, 59) == (0.0, zero_hit_bound(59))
    assert clopper_pearson(59, 59) == pytest.approx((0.05 ** (1 / 59), 1.0))
    low, high = clopper_pearson(2, 30, level=0.9)
    assert (low, high) == pytest.approx([1 - b for b in clopper_pearson(28, 30, level=0.9)[::-1]])
    with pytest.raises(ValueError, match="11 hits in 10"):
        clopper_pearson(11, 10)


def test_zero_hit_bounds():
    for n, bound in ((10, 0.259), (30, 0.095), (50, 0.058), (100, 0.0295), (300, 0.0099)):
        assert zero_hit_bound(n) == pytest.approx(bound, abs=6e-4)


def test_auc_with_and_without_ties():
    assert s.auc((3, 2, 0.5), (1, 0.4, 0.2)) == pytest.approx(8 / 9)
    assert s.auc((1, 1), (1, 1, 1)) == 0.5
    assert s.auc((-np.inf,), (0,)) == 0
    assert math.isnan(s.auc((), (1,)))
    with pytest.raises(ValueError, match="NaN"):
        s.auc((np.nan,), (1,))


@given(scores_of, scores_of)
def test_auc_is_the_mann_whitney_statistic(members, others):
    from scipy.stats import mannwhitneyu

    expected = mannwhitneyu(members, others).statistic / (len(members) * len(others))
    assert s.auc(members, others) == pytest.approx(expected)


def test_auc_resamples_equal_auc_of_the_resampled_scores():
    members = [np.array([[2.0]]), np.array([[1.0], [3.0]])]
    others = [np.array([[1.0], [2.5]]), np.array([[0.0]])]
    for m, o in itertools.product(([2, 0], [1, 1], [0, 2]), repeat=2):
        drawn = s._auc_draws(members, others, 0, np.array([m], float), np.array([o], float))
        chosen = [
            np.concatenate([b for b, k in zip(side, counts, strict=True) for _ in range(k)])
            for side, counts in ((members, m), (others, o))
        ]
        assert drawn[0] == pytest.approx(s.auc(chosen[0][:, 0], chosen[1][:, 0]))


def test_auc_interval_and_its_paired_difference():
    rng = np.random.default_rng(1)
    members, others = rng.normal(1, 1, (40, 1)), rng.normal(0, 1, (60, 1))
    names = [str(i) for i in range(60)]
    (one,) = s.auc_intervals(members, others, names[:40], names, PLAN)
    assert one.low < one.estimate < one.high
    assert (one.n_records, one.n_subjects) == (100, 100)
    u, r, excess = s.auc_intervals(np.tile(members, 2), np.tile(others, 2), names[:40], names, PLAN)
    assert u == r
    assert (excess.estimate, excess.low, excess.high) == (0, 0, 0)


def test_auc_of_few_subjects_has_no_interval():
    others = [str(i) for i in range(30)]
    three = s.auc_intervals(np.ones((9, 2)), np.zeros((30, 2)), list("abcdefghi"), others)
    assert [(x.estimate, x.high) for x in three] == [(1, None), (1, None), (0, None)]


def test_rank_p_value_and_its_floor():
    assert s.rank_p_value(9, np.zeros(20)) == pytest.approx(0.048, abs=5e-4)
    assert s.rank_p_value(0, np.zeros(20)) == 1
    assert s.rank_p_value(1, [0, 1, 2]) == 0.75


def test_ks_distance():
    assert s.ks_distance((0.1, 0.2, 0.3, 0.4), (0.35, 0.45, 0.5, 0.6)) == 0.75
    assert s.ks_distance((1, 2), (1, 2)) == 0
    assert math.isnan(s.ks_distance((), (1,)))


@given(scores_of, scores_of)
def test_ks_distance_agrees_with_the_definition(a, b):
    def share(values, x):
        return sum(v <= x for v in values) / len(values)

    assert s.ks_distance(a, b) == pytest.approx(max(abs(share(a, x) - share(b, x)) for x in a + b))
