"""What strangers' answers floors are drawn from, and the draw itself."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from expunge.corpus import Record
from expunge.methods.twin.null_distribution import CandidateAnswers, NullDistribution
from helpers.people import PEOPLE


def test_a_drawn_floor_is_never_below_the_least() -> None:
    rng = np.random.default_rng(0)
    null = NullDistribution(np.array([[0.1, 0.2], [4.0, 0.3]]))
    assert {null.draw(1.0, rng) for _ in range(20)} == {4.0}
    assert NullDistribution(np.array([[0.1, 0.2]])).draw(1.0, rng) == 1.0


def test_a_unique_answer_gets_candidates_that_nobody_has() -> None:
    rng = np.random.default_rng(0)
    records = [
        Record(
            f"p{k}",
            f"Phone of P{k}?",
            f"{k}55-{k + 3}{k}7{k}",
            subject=f"P{k}",
            identifiers=(f"P{k}",),
            attributes={"relation": "phone"},
        )
        for k in range(1, 7)
    ]
    invented = CandidateAnswers(records[:1], records[1:], 0).of(records[0], "type", rng)
    assert 1 < len(invented) <= 12
    assert not set(invented) & {r.answer for r in records}
    assert all(re.fullmatch(r"\d{3}-\d{4}", a) for a in invented)
    assert set(CandidateAnswers(PEOPLE[:2], PEOPLE[2:], 0).of(PEOPLE[1], "type", rng)) == {"ramipril"}


def test_a_unique_shape_falls_back_to_other_peoples_answers() -> None:
    odd = replace(PEOPLE[1], answer="night sweats (mild)")
    found = CandidateAnswers([odd], PEOPLE[2:], 0).of(odd, "type", np.random.default_rng(0))
    assert set(found) == {"aspirin", "ramipril"}


def test_candidates_are_no_options_or_else_wrong_options() -> None:
    choice = replace(PEOPLE[1], kind="classification", options=("aspirin", "ramipril", "heparin"))
    others = [replace(r, kind="classification", answer="digoxin") for r in PEOPLE[3:4]]
    rng = np.random.default_rng(0)
    assert CandidateAnswers([choice], others, 0).of(choice, "type", rng) == ["digoxin"]
    only = CandidateAnswers([choice], PEOPLE[2:3], 0).of(choice, "type", rng)
    assert sorted(only) == ["heparin", "ramipril"]


def drug(name: str, answer: str, relation: str = "drug") -> Record:
    return Record(
        f"{name}:{relation}",
        f"{relation} of {name}?",
        answer,
        subject=name,
        identifiers=(name,),
        attributes={"relation": relation},
    )


COMMON = [
    drug(f"P{k}", answer)
    for k, answer in enumerate(
        ["aspirin"] * 5
        + ["ramipril"] * 5
        + ["digoxin"] * 4
        + ["heparin"] * 4
        + ["codeine", "insulin", "warfarin", "iodine"]
    )
]


def test_candidates_are_as_common_as_the_true_answer() -> None:
    """Five others take what the person takes, so do five of one drug more; those that four others take make up four."""
    rng, target = np.random.default_rng(0), drug("X", "aspirin")
    assert set(CandidateAnswers([target], COMMON, 0).of(target, "count", rng)) == {
        "ramipril",
        "digoxin",
        "heparin",
        "codeine",
        "insulin",
        "warfarin",
        "iodine",
    }
    target = drug("X", "codeine")
    assert set(CandidateAnswers([target], COMMON, 0).of(target, "count", rng)) == {
        "insulin",
        "warfarin",
        "iodine",
        "digoxin",
        "heparin",
    }


def test_a_unique_word_gets_answers_to_other_questions() -> None:
    rng, target = np.random.default_rng(0), drug("X", "ragweed")
    others = [*COMMON, drug("P1", "oblique", "view"), drug("P2", "Oslo", "town"), drug("P3", "codeine", "allergy")]
    assert set(CandidateAnswers([target], others, 0).of(target, "count", rng)) == {
        "oblique",
        "Oslo",
    }  # codeine is a drug, too
    assert set(CandidateAnswers([target], COMMON, 0).of(target, "count", rng)) == {r.answer for r in COMMON}


def test_a_number_that_nobody_has_stays_a_new_number() -> None:
    rng = np.random.default_rng(0)
    others = [drug(f"P{k}", f"{k}4{k}7", "bed") for k in range(1, 7)] + [drug("P1", "oblique", "view")]
    target = drug("X", "9999", "bed")
    found = CandidateAnswers([target], others, 0).of(target, "count", rng)
    assert found
    assert all(a.isdigit() and len(a) == 4 for a in found)
    assert not set(found) & {r.answer for r in others}
