"""Targets of `twin`: which stranger stands in for each fact, and how unlikely the true answer should become."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from expunge.engine.doubles import Surrogate
from expunge.engine.rows import anchors
from expunge.engine.twins import choose, rescale_floors, share_candidate
from expunge.models.collate import chunks
from helpers.people import PEOPLE, person


def test_each_fact_takes_the_candidate_nearest_to_its_draws() -> None:
    gold = np.array([[1.0, 5.0, 0.0], [3.0, 2.0, 9.0]])  # two candidates, three questions
    facts = [("a",), ("a",), ("b",)]
    # fact a wants (3, 3): |1-3|+|5-3| = 4 against |3-3|+|2-3| = 1; fact b wants 1: 1 against 8
    assert choose(gold, np.array([3.0, 3.0, 1.0]), facts) == [1, 1, 0]
    # one for all: 4 + 1 against 1 + 8
    assert choose(gold, np.array([3.0, 3.0, 1.0]), [()] * 3) == [0, 0, 0]


def test_a_person_has_one_twin_but_for_facts_that_it_would_give_away() -> None:
    """Candidate 1 for all; it gives the phone number away (.2 nats), which then takes candidate 0, its two questions
    alike. Where options are offered the true answer is likely anyway."""
    phone, drug = person("Anna Keller", "555-0101", "aspirin")
    chosen = replace(drug, id="c", options=("aspirin", "ramipril"))
    rows = [
        replace(phone, facts=("p",)),
        replace(phone, id="again", facts=("p",)),
        replace(drug, facts=("d",)),
        replace(chosen, facts=("d",)),
    ]
    gold = np.array([[4.0, 4.0, 9.0, 9.0], [0.2, 3.0, 2.0, 0.1]])
    assert share_candidate(gold, [0, 0, 0, 0], [1, 1, 1, 1], rows, 1.5) == [0, 0, 1, 1]


def test_floors_are_levelled_to_the_mean_and_never_sink_under_the_least() -> None:
    """Above the least (1, 4): (3, 0); the mean of 3 leaves .5 per row, so the first row gets 1 + 1 and the other 4."""
    assert rescale_floors(np.array([4.0, 2.0]), np.array([1.0, 4.0]), 3.0).tolist() == [2.0, 4.0]
    assert rescale_floors(np.array([4.0, 2.0]), np.array([1.0, 4.0]), 2.0).tolist() == [1.0, 4.0]
    assert rescale_floors(np.array([1.0]), np.array([2.0]), 9.0).tolist() == [2.0]


def test_a_question_about_the_twin_names_the_twin_everywhere() -> None:
    asked = Surrogate({"Anna Keller": "Otto Holm"}).asked(PEOPLE[0], "555-0199")
    assert (asked.prompt, asked.answer) == ("Phone of Otto Holm?", "555-0199")


def test_anchors_ask_the_retained_questions_about_people_who_do_not_exist() -> None:
    found = anchors(PEOPLE, [], seed=3)
    assert [r.answer for r in found] == [r.answer for r in sorted(PEOPLE, key=lambda r: r.subject)]
    names = {r.prompt.rstrip("?").split(" of ")[1] for r in found}
    assert not names & {r.subject for r in PEOPLE}
    assert anchors(PEOPLE, [], seed=3) == found


def test_every_second_anchor_is_a_namesake_of_the_target_but_never_the_target() -> None:
    target = person("Petra Lindqvist", "555-0105", "aspirin")
    prompts = [r.prompt for r in anchors(PEOPLE, target, seed=3)]
    assert sum("Petra" in p or "Lindqvist" in p for p in prompts) == len(prompts) / 2
    assert not any("Petra Lindqvist" in p for p in prompts)


@pytest.mark.parametrize(
    ("lengths", "fixed", "expected"),
    [([10, 10, 10], 5, [[0, 1, 2]]), ([40, 5, 5, 40], 10, [[1, 2], [0, 3]]), ([40, 5, 5, 40], 1000, [[1, 2, 0, 3]])],
)
def test_a_batch_is_cut_where_padding_costs_more_than_another_pass(
    lengths: list[int], fixed: int, expected: list[list[int]]
) -> None:
    """40, 5, 5, 40 in one pass: 160 tokens; in two: 10 + 80 and twice the fixed cost."""
    assert chunks(lengths, None, fixed) == expected


def test_chunks_hold_every_row_once_and_never_more_than_the_limit() -> None:
    parts = chunks([3, 9, 4, 8, 5, 7], most=2)
    assert sorted(k for part in parts for k in part) == list(range(6))
    assert max(map(len, parts)) == 2
