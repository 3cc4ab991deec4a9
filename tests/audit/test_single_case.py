"""How far a value goes by chance, with numbers that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from expunge.audit.policy import Policy, default_policy
from expunge.audit.single_case import ChanceLimits, largest_by_chance

JOINT = 0.05 / 7


def test_the_limit_is_the_modified_t_test() -> None:
    """Mean 1, spread 1, t of two degrees of freedom 2.920: 1 + 2.920 sqrt(1 + 1/3)."""
    assert largest_by_chance([0.0, 1.0, 2.0], 0.05, 1000, is_rate=False) == pytest.approx(4.372, abs=1e-3)


def test_equal_others_still_let_half_a_question_pass() -> None:
    """Twenty zeros of 12 questions: t of 19 degrees of freedom 1.729, times 1/24, times sqrt(1 + 1/20)."""
    assert largest_by_chance([0.0] * 20, 0.05, 12) == pytest.approx(1.729 / 24 * 1.0247, abs=1e-4)
    assert largest_by_chance([0.0] * 20, 0.05, 12, is_rate=False) == largest_by_chance([0.0] * 20, 0.05, 12)


def test_no_limit_lies_below_one_of_the_others() -> None:
    assert largest_by_chance([0.0] * 19 + [1.0], 0.4, 12) == 1.0


def test_the_hits_of_few_questions_go_further_than_a_normal_spread() -> None:
    """One hit of 12 among ten of twenty: .0418 a question; four or more of 12 hits have a probability of .0017."""
    others = [0.0] * 10 + [1 / 12] * 10
    assert largest_by_chance(others, 0.002, 12) == pytest.approx(3 / 12)
    assert largest_by_chance(others, 0.002, 12, is_rate=False) < 3 / 12


@pytest.mark.parametrize("others", [[0.0, 0.1], [0.0, 0.1, float("nan")]])
def test_two_others_or_none_are_no_sample(others: list[float]) -> None:
    with pytest.raises(ValueError, match="at least three"):
        largest_by_chance(others, 0.05, 12)


def test_between_both_limits_nothing_is_decided() -> None:
    """The median of three is 1; t of two degrees of freedom is 6.965 at .01: 1 + 6.965 sqrt(1 + 1/3)."""
    limits = ChanceLimits.of([0.0, 1.0, 2.0], 50, 0.01, 1000, is_rate=False)
    assert (limits.passing, limits.count) == (1.0, 3)
    assert limits.failing == pytest.approx(9.042, abs=1e-2)
    assert [limits.judge(v) for v in (1.0, 1.1, 9.0, 9.1)] == ["passed", "inconclusive", "inconclusive", "failed"]


def test_what_a_pass_leaves_unseen_is_a_share_of_what_the_original_holds() -> None:
    """Others have .1 on average and go up to .3; the original has .9: a quarter of the .8 beyond them."""
    assert ChanceLimits(0.3, 0.5, 0.1, 20).unseen(0.9) == pytest.approx(0.25)
    assert ChanceLimits(0.3, 0.5, 0.1, 20).unseen(0.1) == float("inf")


@pytest.mark.parametrize("guess", [0.0, 0.02, 0.1, 0.33])
@pytest.mark.parametrize("questions", [6, 12, 60])
def test_people_whom_no_model_met_stand_out_no_more_often_than_stated(questions: int, guess: float) -> None:
    rng = np.random.default_rng(questions)
    draws = rng.binomial(questions, guess, (1500, 21)) / questions
    out = np.mean([row[0] > largest_by_chance(row[1:], JOINT, questions) for row in draws])
    assert out <= JOINT + 3 * np.sqrt(JOINT / 1500)


def test_all_required_tests_of_forgetting_share_one_level() -> None:
    policy = default_policy(True)
    tests = [key for key in policy.required if policy.rules[key].judge != "retention"]
    assert policy.joint_level * len(tests) == pytest.approx(0.05)
    bare = Policy.parse(
        "name: a\nversion: 1\nrules:\n  retention.text: {judge: retention, margin: 0.9, required: true}"
    )
    assert bare.joint_level == pytest.approx(0.05)
