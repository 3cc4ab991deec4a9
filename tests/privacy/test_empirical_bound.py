"""Lower bounds on epsilon from guessed coins, on numbers that can be checked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from expunge.gradients.base import Gradients
from expunge.gradients.private import clipped_sum, noised_mean
from expunge.privacy.accountant import Query, pld
from expunge.privacy.empirical_bound import EpsilonBound, epsilon_at_least, from_many_runs, from_scores, p_value


def test_without_privacy_a_p_value_is_that_of_fair_coins() -> None:
    assert p_value(0.0, 0.0, 10, 10, 9) == pytest.approx(11 / 1024)
    assert p_value(0.0, 0.0, 10, 10, 0) == 1.0


def test_delta_adds_what_it_may_explain() -> None:
    # below 9 right: P[8], P[7..8] / 2, ... = 45, 165/2, 375/3, 627/4, 837/5, ... of 1024; the largest is 837/5
    assert p_value(0.0, 0.01, 10, 10, 9) == pytest.approx((11 + 2 * 10 * 0.01 * 837 / 5) / 1024)


def test_all_right_rules_out_what_would_do_so_once_in_twenty() -> None:
    rate = 0.05 ** (1 / 100)
    assert epsilon_at_least(100, 100, 100) == pytest.approx(math.log(rate / (1 - rate)), abs=2e-4)
    assert epsilon_at_least(100, 100, 100, confidence=0.99) < epsilon_at_least(100, 100, 100)


def test_chance_rules_nothing_out() -> None:
    assert epsilon_at_least(50, 100, 100) == 0.0
    assert epsilon_at_least(58, 100, 100) == 0.0  # P[X >= 58] = .067
    assert epsilon_at_least(59, 100, 100) > 0.0  # P[X >= 59] = .044
    assert epsilon_at_least(0, 0, 100) == 0.0


def test_delta_and_canaries_that_nobody_guessed_weaken_the_bound() -> None:
    assert epsilon_at_least(90, 100, 100, delta=1e-3) < epsilon_at_least(90, 100, 100)
    assert epsilon_at_least(90, 100, 1000, delta=1e-4) < epsilon_at_least(90, 100, 100, delta=1e-4)


def test_the_highest_scores_are_guessed_in_and_the_lowest_out() -> None:
    found = from_scores([5.0, 4.0, 0.1, 0.0, -3.0, -4.0], [True, False, False, True, False, False], guesses=4)
    assert found == EpsilonBound(0.0, 3, 4, 6, 0.0, 0.95)
    assert from_scores([1.0, 0.0], [True, False]).right == 2


def test_guesses_that_were_told_the_coins_are_no_bound_but_random_ones_are() -> None:
    """Epsilon-private answers (each coin told rightly with e^eps / (1 + e^eps)): the bound holds, and is not idle."""
    rng, epsilon, bounds = np.random.default_rng(0), 2.0, []
    for _ in range(60):
        coins = rng.random(300) < 0.5
        told = np.where(rng.random(300) < 1 / (1 + math.exp(-epsilon)), coins, ~coins)
        bounds.append(from_scores((told + 1e-3 * rng.random(300)).tolist(), coins.tolist()).epsilon)
    assert np.mean(np.array(bounds) > epsilon) <= 0.05 + 0.06  # two standard errors
    assert np.median(bounds) > 1.4


def test_the_noised_sum_reveals_no_more_than_the_accountant_allows() -> None:
    """The worst case of one question: a unit that uses up the limit, q = 1, T = 1, watched along its own direction."""
    noise, runs, source = 1.2112, 4000, torch.Generator().manual_seed(0)
    allowed = pld([Query(noise, 1.0, 1)], 1e-5)
    unit, nobody = {"a": torch.tensor([[3.0, 4.0]])}, {"a": torch.zeros(1, 2)}

    def seen(units: Gradients) -> torch.Tensor:
        total = {"a": clipped_sum(units, 1.0)["a"].expand(runs, 2)}
        noised = noised_mean(total, noise, 1.0, lambda shape: torch.randn(shape, generator=source))["a"]
        return noised @ torch.tensor([0.6, 0.8])  # normal, standard deviation 1.2112, mean 1 or 0

    there, gone = seen(unit), seen(nobody)
    for threshold in (1.0, 2.0, 3.0, 4.0):
        found, false = int((there > threshold).sum()), int((gone > threshold).sum())
        assert 0 < from_many_runs(found, runs, false, runs, delta=1e-5) < allowed
    assert from_many_runs(int((there > 3).sum()), runs, int((gone > 3).sum()), runs, delta=1e-5) > 1.0


def test_wrong_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="right of"):
        p_value(1.0, 0.0, 10, 11, 5)
    with pytest.raises(ValueError, match="guesses on"):
        from_scores([1.0], [True], guesses=2)


def test_two_samples_of_runs_give_clopper_and_pearsons_bound() -> None:
    lowest = 0.025 ** (1 / 100)
    assert from_many_runs(100, 100, 0, 100) == pytest.approx(math.log(lowest / (1 - lowest)))
    assert from_many_runs(50, 100, 50, 100) == 0.0
    assert from_many_runs(100, 100, 0, 100, delta=0.5) < from_many_runs(100, 100, 0, 100)
    assert from_many_runs(0, 10, 10, 10) == 0.0
