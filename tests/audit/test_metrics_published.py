"""Published aggregates: the numbers of the design, and the published tables."""

import math

import numpy as np
import pytest

from expunge.audit.metrics import published as a
from expunge.audit.metrics.published import (
    UTILITY_MEASURES,
    UTILITY_SETS,
    harmonic_mean,
    model_utility,
    option_probability,
)
from expunge.audit.metrics.semeval import (
    TASKS,
    semeval_from_auc,
    semeval_task4,
    semeval_terms,
    task_aggregate,
    whole_output_match,
)


def test_four_forgetting_rates_are_four_numbers():
    assert a.fr_abs(0.173) == pytest.approx(0.827)
    assert a.fr_rel(0.892, 0.173) == pytest.approx(0.806, abs=5e-4)
    assert a.fr_chance(0.892, 0.173, 0.25) == pytest.approx(1.120, abs=5e-4)
    assert a.fr_ref(0.85, 0.40, 0.25) == pytest.approx(0.75)


def test_rates_are_undefined_where_nothing_was_known():
    assert math.isnan(a.fr_rel(0, 0))
    assert math.isnan(a.fr_chance(0.25, 0.2, 0.25))
    assert math.isnan(a.fr_ref(0.29, 0.2, 0.25))
    assert math.isnan(a.kpr_rel(0, 0))


def test_preservation_and_unlearning_score():
    assert a.kpr_abs(0.885) == 0.885
    assert a.kpr_rel(0.8, 0.6) == pytest.approx(0.75)
    assert a.us(0.827, 0.885) == pytest.approx(0.856)


def test_membership_aggregates():
    assert a.mia_resistance(0.555) == pytest.approx(0.89)
    assert a.privacy_risk(0.555) == pytest.approx(0.11)
    assert a.privacy_risk(0.445) == pytest.approx(0.11)


def test_tofu_forget_quality_is_a_ks_test_with_its_sizes():
    found = a.tofu_forget_quality(np.array([0.1, 0.2, 0.3, 0.4, np.nan]), np.array([0.35, 0.45, 0.5, 0.6]))
    assert found.distance == 0.75
    assert found.p == pytest.approx(0.229, abs=5e-4)
    assert (found.n_unlearned, found.n_retrained) == (4, 4)


def test_three_against_three_cannot_reject_even_when_disjoint():
    found = a.tofu_forget_quality(np.array([1.0, 2, 3]), np.array([4.0, 5, 6]))
    assert (found.distance, found.p) == (1, pytest.approx(0.10))


def test_disjoint_sets_of_four_hundred_have_the_published_least_p_value():
    found = a.tofu_forget_quality(np.arange(400.0), np.arange(400.0) + 400)
    assert found.p == pytest.approx(1.1e-239, rel=0.05)


def test_privleak_and_when_it_is_withheld():
    assert a.muse_privleak(0.9, 0.5).reported == pytest.approx(-80)
    small = a.muse_privleak(0.4, 0.98)
    assert small.value == pytest.approx(2900)
    assert small.reported is None
    assert small.difference == pytest.approx(-0.58)
    assert math.isnan(a.muse_privleak(0.4, 1.0).value)


def test_model_utility_is_a_harmonic_mean_of_exactly_nine():
    terms = {(m, s): 0.9 for m in UTILITY_MEASURES for s in UTILITY_SETS}
    terms["probability", "retain"] = 0.45
    assert model_utility(terms) == pytest.approx(0.81)
    assert model_utility(terms | {("probability", "retain"): 0.0}) == 0
    del terms["probability", "retain"]
    with pytest.raises(ValueError, match=r"missing \[\('probability', 'retain'\)\], foreign \[\]"):
        model_utility(terms)


@pytest.mark.parametrize("values", [[], [0.5, math.nan], [-0.1]])
def test_a_harmonic_mean_refuses_missing_values(values):
    with pytest.raises(ValueError, match="at least 0"):
        harmonic_mean(values)


def test_option_probability():
    assert option_probability(0.3, [0.1, 0.1, 0.1]) == pytest.approx(0.5)
    assert option_probability(0.0, [0.0]) == 0


REFERENCE = [  # final, task aggregate, MIA score, MMLU, void; task web site, February 2025
    ("7B AILS-NTUA", 0.706, 0.827, 0.847, 0.443, False),
    ("7B ZJUKLAB", 0.487, 0.944, 0.048, 0.471, False),
    ("7B third place", 0.470, 0.834, 0.139, 0.436, False),
    ("7B Mr. Snuffleupagus", 0.376, 0.387, 0.256, 0.485, False),
    ("7B SHA256", 0.711, 0.964, 0.894, 0.275, True),
    ("1B AILS-NTUA", 0.688, 0.964, 0.857, 0.242, True),
    ("1B SHA256", 0.652, 0.973, 0.741, 0.243, True),
    ("1B Atyaephyra", 0.586, 0.887, 0.622, 0.248, True),
    ("1B Mr. Snuffleupagus", 0.485, 0.412, 0.793, 0.250, True),
    ("1B ZJUKLAB", 0.483, 0.915, 0.292, 0.243, True),
    ("7B gradient ascent", 0.394, 0, 0.912, 0.269, True),
    ("7B gradient difference", 0.243, 0, 0.382, 0.348, True),
    ("7B KL minimization", 0.395, 0, 0.916, 0.269, True),
    ("7B NPO", 0.188, 0.021, 0.080, 0.463, False),
]


@pytest.mark.parametrize(("name", "final", "task", "mia", "mmlu", "void"), REFERENCE)
def test_semeval_reproduces_the_published_table(name, final, task, mia, mmlu, void):
    found = semeval_task4(task, mia, mmlu)
    assert found.final == pytest.approx(final, abs=1.001e-3)
    assert found.void is void


def test_semeval_from_its_ingredients():
    found = semeval_from_auc([0.9] * 12, 0.6, 0.45)
    assert found.final == pytest.approx(0.717, abs=5e-4)
    assert found.mia_score == pytest.approx(0.8)
    assert not found.void


def test_semeval_gives_parts_but_no_final_score_when_one_is_missing():
    assert semeval_from_auc([0.9] * 12, None, 0.2) == (pytest.approx(0.9), None, 0.2, None, True)
    assert semeval_task4(0.9, 0.8, None).final is None
    assert not semeval_task4(0.9, 0.8, None).void


def test_one_zero_among_twelve_terms_makes_the_aggregate_zero():
    assert task_aggregate([0.9] * 11 + [0]) == 0
    with pytest.raises(ValueError, match="12 terms, got 11"):
        task_aggregate([0.9] * 11)


def test_semeval_terms_stand_in_the_official_order():
    recall = {
        (s, t): v
        for s, base in (("forget", 0.1), ("retain", 0.7))
        for v, t in zip((base, base + 0.1, base + 0.2), TASKS, strict=True)
    }
    exact = {key: 0.5 if key[0] == "retain" else 0.0 for key in recall}
    assert semeval_terms(recall, exact) == pytest.approx([0.9, 1, 0.8, 1, 0.7, 1, 0.7, 0.5, 0.8, 0.5, 0.9, 0.5])


def test_the_organisers_match_strips_and_lowers_but_keeps_the_full_stop():
    assert whole_output_match(" Paris\n", "paris")
    assert not whole_output_match("Paris.", "paris")
