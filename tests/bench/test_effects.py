"""Effects by hand: how units, worlds and seeds are weighed, and which interval decides."""

from __future__ import annotations

import math

import pytest

from expunge.bench.analysis import effect, paired, unpaired


def test_units_then_worlds_then_seeds_are_averaged() -> None:
    strata = {("a", "1"): {"x": 0.0, "y": 1.0}, ("b", "1"): {"x": 0.1}, ("a", "2"): {"x": 0.5}}
    found = effect(strata)
    assert found.mean == pytest.approx(((0.5 + 0.1) / 2 + 0.5) / 2)  # 0.4
    assert (found.seeds, found.units) == (2, 4)


def test_over_seeds_is_students_t_and_decides_where_there_are_several() -> None:
    found = effect({("a", "1"): {"x": 1.0, "y": 3.0}, ("a", "2"): {"x": 4.0, "y": 4.0}})
    half = 12.7062 * math.sqrt(2) / math.sqrt(2)  # means 2 and 4: standard deviation sqrt 2, one degree of freedom
    assert found.over_seeds == pytest.approx((3 - half, 3 + half), abs=1e-3)
    assert found.deciding == found.over_seeds
    assert not found.excludes_zero(1)


def test_with_one_seed_the_interval_over_units_decides() -> None:
    found = effect({("a", "1"): {f"c{k}": 0.2 + 0.01 * (k % 2) for k in range(10)}})
    assert found.over_seeds is None
    assert found.over_units is not None
    assert 0.2 <= found.over_units[0] < 0.205 < found.over_units[1] <= 0.21
    assert found.excludes_zero(1)
    assert not found.excludes_zero(-1)


def test_units_that_all_say_the_same_leave_no_room() -> None:
    found = effect({("a", "1"): dict.fromkeys("xyz", -0.5)})
    assert found.over_units == pytest.approx((-0.5, -0.5))
    assert found.excludes_zero(-1)


def test_a_single_unit_has_no_interval_and_decides_nothing() -> None:
    found = effect({("a", "1"): {"x": 1.0}})
    assert (found.mean, found.deciding) == (1.0, None)
    assert not found.excludes_zero(1)


def test_a_stratum_with_a_single_unit_shows_no_spread() -> None:
    assert effect({("a", "1"): {"x": 1.0, "y": 2.0}, ("b", "1"): {"x": 1.0}}).over_units is None
    assert unpaired({("a", "1"): {"x": 1.0, "y": 2.0}}, {("a", "1"): {"p": 0.0}}).deciding is None


def test_names_and_order_of_units_change_nothing() -> None:
    one = effect({("a", "1"): {"x": 0.1, "y": 0.4, "z": 0.9}})
    other = effect({("a", "1"): {"p": 0.9, "q": 0.1, "r": 0.4}})
    assert one.over_units == other.over_units


def test_nothing_at_all_is_no_effect() -> None:
    found = effect({("a", "1"): {}})
    assert (found.mean, found.deciding, found.units) == (None, None, 0)


def test_pairs_are_those_that_both_have() -> None:
    first = {("a", "1"): {"x": 0.9, "y": 0.5}, ("b", "1"): {"x": 1.0}}
    second = {("a", "1"): {"x": 0.4, "z": 0.1}}
    assert paired(first, second) == {("a", "1"): {"x": pytest.approx(0.5)}}


def test_different_units_are_compared_stratum_by_stratum() -> None:
    first = {("a", "1"): {"x": 0.4, "y": 0.6}, ("a", "2"): {"x": 0.9, "y": 0.9}, ("a", "3"): {"x": 1.0}}
    second = {("a", "1"): {"p": 0.1, "q": 0.1}, ("a", "2"): {"p": 0.1, "q": 0.3}, ("b", "3"): {"p": 0.0}}
    found = unpaired(first, second)
    assert found.mean == pytest.approx((0.4 + 0.7) / 2)
    assert (found.seeds, found.units) == (2, 8)  # seed 3 has no world with both
    assert found.over_units is not None
    assert found.over_units[0] < found.mean < found.over_units[1]
