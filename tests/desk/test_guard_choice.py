"""Which earlier requests are attacked again after a run."""

from __future__ import annotations

import pytest

pytest.importorskip("sqlalchemy")

from expunge.desk.guard_choice import choose_attacked, guard_status

EXCESS = {f"r{k}": k / 100 for k in range(30)}


def test_the_worst_come_first_and_chance_takes_some_of_the_others() -> None:
    chosen = choose_attacked(EXCESS, 5, 10, "seed")
    assert [name for name, way in chosen.items() if way == "worst"] == ["r29", "r28", "r27", "r26", "r25"]
    assert len(chosen) == 15
    assert set(chosen.values()) == {"worst", "random"}


def test_the_choice_is_the_same_again_and_another_for_another_seed() -> None:
    again = dict(reversed(EXCESS.items()))
    assert choose_attacked(again, 5, 10, "seed") == choose_attacked(EXCESS, 5, 10, "seed")
    assert choose_attacked(EXCESS, 5, 10, "other") != choose_attacked(EXCESS, 5, 10, "seed")


def test_a_request_that_is_gone_leaves_the_others_in_the_choice() -> None:
    before = choose_attacked(EXCESS, 5, 10, "seed")
    for gone in before:
        after = choose_attacked({k: v for k, v in EXCESS.items() if k != gone}, 5, 10, "seed")
        assert set(before) - {gone} <= set(after)


def test_every_request_has_the_same_chance_to_be_drawn() -> None:
    """Of 100 others ten are drawn; over 2,000 seeds each about 200 times (standard deviation 13)."""
    others = {f"r{k}": 0.0 for k in range(100)}
    counts = dict.fromkeys(others, 0)
    for seed in range(2000):
        for name in choose_attacked(others, 0, 10, str(seed)):
            counts[name] += 1
    assert min(counts.values()) > 130
    assert max(counts.values()) < 270


@pytest.mark.parametrize(("worst", "random", "count"), [(0, 0, 0), (0, 3, 3), (3, 0, 3), (40, 40, 30), (5, 40, 30)])
def test_how_many_are_chosen(worst: int, random: int, count: int) -> None:
    assert len(choose_attacked(EXCESS, worst, random, "s")) == count


def test_one_that_was_not_asked_is_never_the_worst() -> None:
    assert choose_attacked({"a": None, "b": -0.5}, 2, 0, "s") == {"b": "worst"}
    assert choose_attacked({"a": None, "b": -0.5}, 1, 1, "s") == {"b": "worst", "a": "random"}


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([], "passed"),
        (["passed", "passed"], "passed"),
        (["passed", "inconclusive"], "inconclusive"),
        (["passed", "not_run"], "inconclusive"),
        (["inconclusive", "failed"], "failed"),
    ],
)
def test_what_the_guard_says_of_all_of_them(statuses: list[str], expected: str) -> None:
    assert guard_status(statuses) == expected
