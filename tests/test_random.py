"""Keyed draws: the same everywhere, different for everything else."""

from collections import Counter
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.random import SPAN, draw, permute, pick, shuffled, uniform


def test_a_draw_is_the_same_on_every_machine():
    assert draw(7, "patient", 3, purpose="ward") == 16348328771922907435


def test_seed_path_purpose_and_count_each_change_the_draw():
    values = {
        draw(0, "a", purpose="x"),
        draw(1, "a", purpose="x"),
        draw(0, "b", purpose="x"),
        draw(0, "a", purpose="y"),
        draw(0, "a", purpose="x", k=1),
        draw(0, "a", "x", purpose="x"),
    }
    assert len(values) == 6


def test_draws_are_uniform():
    total = sum(draw(0, k, purpose="mean") for k in range(4000)) / 4000 / SPAN
    assert total == pytest.approx(0.5, abs=0.015)  # three standard errors of .0046
    counts = Counter(pick("abcd", 0, k, purpose="letter") for k in range(4000))
    assert all(900 < n < 1100 for n in counts.values())


@given(size=st.integers(1, 300), seed=st.integers(0, 2**63 - 1))
def test_permute_sends_every_index_to_another_place(size, seed):
    assert sorted(permute(i, size, seed, purpose="p") for i in range(size)) == list(range(size))


def test_shuffled_keeps_all_items():
    assert sorted(shuffled("hospital", 3, purpose="s")) == sorted("hospital")
    assert shuffled(range(20), 3, purpose="s") != list(range(20))


def test_uniform_is_the_first_eight_bytes_of_the_hash() -> None:
    assert uniform("a", "b") == int(sha256(b"a:b").hexdigest()[:16], 16) / 2**64
    assert 0 <= uniform("", "") < 1
