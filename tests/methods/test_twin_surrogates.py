"""Targets of `twin`: which stranger stands in for each fact, and how unlikely the true answer should become."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from expunge.methods.twin.surrogates import nearest_candidates, share_candidate, typical_surrogate
from expunge.methods.twin.targets import rescale_floors
from helpers.people import person


def test_each_fact_takes_the_candidate_nearest_to_its_draws() -> None:
    gold = np.array([[1.0, 5.0, 0.0], [3.0, 2.0, 9.0]])  # two candidates, three questions
    facts = [("a",), ("a",), ("b",)]
    # fact a wants (3, 3): |1-3|+|5-3| = 4 against |3-3|+|2-3| = 1; fact b wants 1: 1 against 8
    assert nearest_candidates(gold, np.array([3.0, 3.0, 1.0]), facts) == [1, 1, 0]
    # one for all: 4 + 1 against 1 + 8
    assert nearest_candidates(gold, np.array([3.0, 3.0, 1.0]), [()] * 3) == [0, 0, 0]


def test_a_subject_has_one_surrogate_except_for_leaked_facts() -> None:
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


def test_the_typical_surrogate_and_its_losses_as_floors() -> None:
    """Medians (2, 3): candidates are 1 + 2, 0 + 0 and 3 + 6 away. Under a least of 2.5 it would leak the first fact,
    which then takes the candidate nearest to 2.5: the second (2) and not the third (5); its floor is raised to 2.5."""
    phone, drug = person("Anna Keller", "555-0101", "aspirin")
    rows = [replace(phone, facts=("p",)), replace(drug, facts=("d",))]
    gold = np.array([[1.0, 1.0], [2.0, 3.0], [5.0, 9.0]])
    chosen, floors = typical_surrogate(gold, rows, 1.5)
    assert (chosen, floors.tolist()) == ([1, 1], [2.0, 3.0])
    chosen, floors = typical_surrogate(gold, rows, 2.5)
    assert (chosen, floors.tolist()) == ([1, 1], [2.5, 3.0])


def test_floors_are_rescaled_to_the_mean_and_never_below_the_least() -> None:
    """Above the least (1, 4): (3, 0); the mean of 3 leaves .5 per row, so the first row gets 1 + 1 and the other 4."""
    assert rescale_floors(np.array([4.0, 2.0]), np.array([1.0, 4.0]), 3.0).tolist() == [2.0, 4.0]
    assert rescale_floors(np.array([4.0, 2.0]), np.array([1.0, 4.0]), 2.0).tolist() == [1.0, 4.0]
    assert rescale_floors(np.array([1.0]), np.array([2.0]), 9.0).tolist() == [2.0]
