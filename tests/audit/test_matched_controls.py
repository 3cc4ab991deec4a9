"""The control rule for fewer than ten subjects."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.audit.matched_controls import ControlRank, over_unlearning, rank_test, standardize

CONTROLS = np.linspace(-1, 1, 41)


def standing(loss, entropy=0.0, controls=CONTROLS):
    return ControlRank.of({"loss": loss, "entropy": entropy}, {"loss": controls, "entropy": controls[::-1]})


REMEMBERED = {"p": standing(9.0)}


def judge(unlearned, original=None, hits=0, facts=59, **more):
    return rank_test(unlearned, original or dict.fromkeys(unlearned, REMEMBERED["p"]), hits, facts, **more)


def test_scores_are_standardized_by_the_other_controls():
    z, controls = standardize(6.0, [1.0, 2.0, 3.0])
    assert z == pytest.approx(4.0)  # mean 2, s.d. 1
    assert controls == pytest.approx([-1.5 / np.sqrt(0.5), 0, 1.5 / np.sqrt(0.5)])


def test_equal_controls_give_large_values_and_no_infinity():
    z, controls = standardize(1.0, np.zeros(40))
    assert np.isfinite(z)
    assert z > 1e6
    assert not controls.any()


@pytest.mark.parametrize(
    ("target", "controls"), [(0, [1, 2]), (0, [1, 2, np.nan]), (np.inf, [1, 2, 3]), (0, [[1, 2, 3]])]
)
def test_too_few_controls_or_broken_scores_are_an_error(target, controls):
    with pytest.raises(ValueError, match="at least three controls and finite scores"):
        standardize(target, controls)


def test_attacks_and_controls_must_match():
    for target, controls in (
        ({}, {}),
        ({"loss": 1.0}, {"zlib": CONTROLS}),
        ({"a": 1.0, "b": 1.0}, {"a": CONTROLS, "b": CONTROLS[:-1]}),
    ):
        with pytest.raises(ValueError, match="same attacks"):
            ControlRank.of(target, controls)


def test_the_worst_attack_counts_for_the_subject_and_for_every_control():
    s = standing(0.2, entropy=0.9)
    assert s.attack == "entropy"
    assert s.highest == s.z["entropy"]
    assert s.lowest == s.z["loss"]
    assert s.m == 41
    assert (s.highest_controls >= s.controls["loss"]).all()
    assert (s.lowest_controls <= s.controls["loss"]).all()
    # the first control is the most extreme by entropy, the last by loss
    assert s.highest_controls[0] == pytest.approx(s.highest_controls[-1])


def test_one_more_attack_raises_the_bar():
    alone = ControlRank.of({"loss": 0.8}, {"loss": CONTROLS})
    both = standing(0.8)
    assert both.p >= alone.p


def test_a_subject_like_its_controls_passes_and_the_bound_is_stated():
    found = judge({"p": standing(0.0)})
    assert found.status == "passed"
    assert found.power
    assert found.hit_bound == pytest.approx(0.0495, abs=1e-4)
    assert "no verbatim hit in 59 facts, so the rate is below 5.0%" in found.reason
    assert found.reason.startswith("few subjects")


def test_a_remembered_subject_fails_and_is_named():
    found = judge({"p": standing(0.0), "q": standing(3.0)})
    assert (found.status, found.subject) == ("failed", "q")
    assert "q above the 95th percentile of the controls (loss" in found.reason
    assert found.p == pytest.approx(1 / 42)


def test_a_subject_that_stands_out_as_much_on_the_retrained_model_passes():
    like_itself, far, low = {"p": standing(0.0)}, {"p": standing(9.0)}, {"p": standing(-9.0)}
    test = judge(far, leads=like_itself, retrained=far)
    assert test.status == "passed"
    assert "p no further above the controls than on the retrained model" in test.reason
    assert judge(far, leads=far, retrained=far).status == "failed"
    assert judge(like_itself, leads=far, retrained=like_itself).status == "passed"
    assert over_unlearning(low, leads=like_itself, retrained=low).status == "passed"
    assert over_unlearning(low, leads=low, retrained=low).status == "failed"


def test_a_subject_that_stands_out_on_the_unlearned_model_alone_fails():
    """Two models lend their noise to a lead, so a lead inside the range excuses nobody by itself."""
    like_itself, far = {"p": standing(0.0)}, {"p": standing(9.0)}
    assert judge(far, leads=like_itself, retrained=like_itself).status == "failed"
    assert over_unlearning(far, leads=like_itself, retrained=like_itself).status == "failed"


def test_without_power_on_the_original_nothing_is_shown():
    found = judge({"p": standing(0.0)}, {"p": standing(0.5)})
    assert (found.status, found.power) == ("inconclusive", False)
    assert "no power" in found.reason


def test_a_verbatim_hit_fails_whatever_the_rank():
    found = judge({"p": standing(0.0)}, hits=1)
    assert (found.status, found.hit_bound) == ("failed", None)
    assert "1 of 59 facts came out verbatim" in found.reason


def test_too_few_controls_are_inconclusive():
    found = judge({"p": standing(0.0, controls=CONTROLS[:20])})
    assert found.status == "inconclusive"
    assert found.reason == "few subjects: p has 20 controls, the rule needs 40"
    assert judge({"p": standing(0.0, controls=CONTROLS[10:30])}, min_controls=20).status == "passed"


def test_both_models_need_the_same_subjects():
    for unlearned, original, facts in (
        ({}, {}, 1),
        ({"p": standing(0)}, {"q": standing(9)}, 1),
        ({"p": standing(0)}, REMEMBERED, 0),
    ):
        with pytest.raises(ValueError, match="same subjects"):
            rank_test(unlearned, original, 0, facts)


@pytest.mark.parametrize("loss", [-5.0, 5.0])
def test_standing_out_in_either_direction_is_over_unlearning(loss):
    found = over_unlearning({"p": standing(0.0), "q": standing(loss)})
    assert (found.status, found.subject) == ("failed", "q")
    assert "q outside the 2.5 to 97.5 % range" in found.reason
    assert found.estimate * loss > 0
    assert found.p == pytest.approx(2 / 42)


@pytest.mark.parametrize("loss", [-1.2, 1.2])
def test_over_unlearning_that_chance_explains_decides_nothing(loss):
    """In standard deviations: 1.2 is 2.0, beyond all controls (1.75); by chance they reach about 2.3 at .003."""
    ranks = {"p": standing(loss)}
    assert over_unlearning(ranks).status == "failed"
    test = over_unlearning(ranks, joint_level=0.006)
    assert test.status == "inconclusive"
    assert test.reason.endswith("but no further than chance goes in one of all required checks")
    assert over_unlearning({"p": standing(1.6 * loss)}, joint_level=0.006).status == "failed"


def test_inside_the_range_is_no_over_unlearning():
    found = over_unlearning({"p": standing(0.0)})
    assert found.status == "passed"
    assert found.p == 1


def test_over_unlearning_needs_controls_and_subjects():
    assert over_unlearning({"p": standing(0.0, controls=CONTROLS[:20])}).status == "inconclusive"
    with pytest.raises(ValueError, match="at least one subject"):
        over_unlearning({})


def test_a_never_trained_subject_is_caught_in_about_five_of_a_hundred():
    rng = np.random.default_rng(0)
    caught = 0
    for _ in range(400):
        target, controls = rng.normal(size=2), rng.normal(size=(2, 40))
        s = ControlRank.of({"loss": target[0], "entropy": target[1]}, {"loss": controls[0], "entropy": controls[1]})
        caught += s.exceeds(95)
    assert 0.02 < caught / 400 < 0.11


@settings(max_examples=30)
@given(st.floats(-3, 3), st.floats(0.1, 9), st.floats(-9, 9))
def test_the_standing_does_not_depend_on_unit_or_origin(loss, scale, shift):
    plain = ControlRank.of({"loss": loss}, {"loss": CONTROLS})
    moved = ControlRank.of({"loss": loss * scale + shift}, {"loss": CONTROLS * scale + shift})
    assert moved.highest == pytest.approx(plain.highest, rel=1e-6, abs=1e-6)
