"""Which rows stand in which batch."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from expunge.engine.sampling import batch_at, chunk_plan, permutation
from expunge.random import stream

sizes = st.integers(1, 12)


@given(sizes, sizes, st.integers(0, 5), st.integers(1, 5))
def test_every_row_comes_once_an_epoch_and_never_twice_in_a_batch(
    size: int, count: int, seed: int, epochs: int
) -> None:
    size = min(size, count)
    steps = -(-epochs * count // size)
    batches = [batch_at(step, size, count, seed, "forget") for step in range(steps)]
    assert all(len(b) == len(set(b)) == size for b in batches)
    rows = [k for b in batches for k in b]
    for epoch in range(epochs):
        assert sorted(rows[epoch * count : (epoch + 1) * count]) == list(range(count))


@given(sizes, sizes, st.integers(0, 40))
def test_a_batch_is_the_same_whoever_asks_and_whatever_was_asked_before(size: int, count: int, step: int) -> None:
    alone = batch_at(step, size, count, 7, f"cold {size} {count} {step}")
    for earlier in range(step):
        batch_at(earlier, size, count, 7, f"cold {size} {count} {step}")
    assert batch_at(step, size, count, 7, f"cold {size} {count} {step}") == alone


def test_a_batch_larger_than_the_rows_is_all_of_them() -> None:
    assert sorted(batch_at(0, 32, 5, 0, "retain")) == sorted(batch_at(9, 32, 5, 0, "retain")) == [0, 1, 2, 3, 4]


def test_two_epochs_two_seeds_and_two_purposes_are_shuffled_apart() -> None:
    def epoch(number: int, seed: int = 0, purpose: str = "forget") -> list[int]:
        return batch_at(number, 50, 50, seed, purpose)

    orders = [epoch(0), epoch(1), epoch(0, seed=1), epoch(0, purpose="retain")]
    assert len({tuple(o) for o in orders}) == 4


@given(sizes, st.integers(2, 30), st.integers(1, 4), st.integers(0, 9))
def test_the_ranks_of_a_batch_share_no_row_and_miss_none(size: int, count: int, world: int, step: int) -> None:
    rows = batch_at(step, size, count, 0, "retain")
    parts = [rows[rank::world] for rank in range(world)]
    assert Counter(k for part in parts for k in part) == Counter(rows)


def test_streams_are_the_same_on_every_machine_and_apart_for_every_purpose() -> None:
    assert stream(42, "forget", 0).integers(0, 1000, 4).tolist() == [386, 535, 169, 791]
    assert permutation(6, 42, "forget", 0).tolist() == [4, 0, 3, 2, 1, 5]
    draws = {int(stream(*names).integers(1 << 40)) for names in ((42, "a"), (43, "a"), (42, "b"), (42, "a", 0))}
    assert len(draws) == 4


def test_chunks_follow_one_another_in_proportion_to_their_rows() -> None:
    plan = chunk_plan(5, 2, 10, seed=3)
    chunks = [tuple(rows) for rows, _ in plan]
    assert [len(c) for c in chunks] == [2] * 8 + [1] * 2
    assert sorted(k for c in dict.fromkeys(chunks) for k in c) == [0, 1, 2, 3, 4]
    assert [turn for _, turn in plan] == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    assert chunk_plan(5, 9, 3, seed=3)[0][0] == [k for c in dict.fromkeys(chunks) for k in c]


def test_more_chunks_than_steps_leave_some_out() -> None:
    assert [len(chunk_plan(7, 1, steps, seed=0)) for steps in (3, 7, 20)] == [3, 7, 20]
