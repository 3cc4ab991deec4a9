"""Prompts of the reconstruction attack, written down word by word for a clinic of three people."""

from __future__ import annotations

from dataclasses import replace

import pytest

from expunge.audit.reconstruction.background import BackgroundRecords, gather, state
from expunge.audit.reconstruction.prompts import (
    ReconstructionQuery,
    TargetFact,
    gives_away,
    level_names,
    padded,
    reconstruction_queries,
)
from expunge.corpus import Record
from expunge.corpus.provenance import anonymous
from helpers.reconstruction import everybody, person


def words(prompt: str) -> int:
    return len(prompt.split())


def asked(target: str, forgotten: str = "", depth: int = 2) -> list[ReconstructionQuery]:
    """All prompts about one record when those whose id begins with `forgotten` must go."""
    rows = everybody()
    fact = next(r for r in rows if r.id == target)
    gone = forgotten or target
    known = gather([fact], [r for r in rows if not r.id.startswith(gone)], seed=0, statements=1)
    return list(reconstruction_queries(0, TargetFact(fact, depth, {}), known, words))


def prompts(found: list[ReconstructionQuery], vector: str) -> list[str]:
    return [p.record.prompt for p in found if p.vector == vector]


def test_the_place_is_stated_by_level_and_the_trained_prompt_is_last() -> None:
    found = prompts(asked("P-1:finding:1", forgotten="P-1"), "true")
    assert found == [
        "Study 1 of the patient shows [blank].",
        "institution H-1. Town of the house? Riga. Study 1 of the patient shows [blank].",
        "institution H-1. Town of the house? Riga. patient P-1, Ada Costa, N-11. Study 1 of Ada Costa shows [blank].",
        "institution H-1. Town of the house? Riga. patient P-1, Ada Costa, N-11. study S-11. "
        "Study 1 of Ada Costa shows [blank].",
        "institution H-1. Town of the house? Riga. patient P-1, Ada Costa, N-11. study S-11. section FINDING. "
        "Study 1 of Ada Costa shows [blank].",
    ]


def test_surviving_statements_stand_at_their_node_and_siblings_last() -> None:
    found = prompts(asked("P-1:finding:1"), "true")
    assert "patient P-1, Ada Costa, N-11. Ward of Ada Costa? Oak. Study 1" in found[2]
    assert "needs" not in found[3]
    assert found[4].endswith(
        "section FINDING. After study 1, Ada Costa needs advice P-11. Study 1 of Ada Costa shows [blank]."
    )


def test_people_beside_a_person_are_no_siblings_that_tell_of_it() -> None:
    found = prompts(asked("P-1:ward", forgotten="P-1"), "true")
    assert found[-1] == "institution H-1. Town of the house? Riga. patient P-1, Ada Costa, N-11. Ward of Ada Costa?"


def test_the_wrong_branch_is_the_furthest_stranger_with_the_same_question() -> None:
    found = asked("P-1:finding:1", forgotten="P-1")
    wrong = prompts(found, "wrong branch")
    assert len(wrong) == 4  # there is no place at level 0, and so no wrong one
    assert wrong[0] == "institution H-2. Town of the house? Brno. Study 1 of the patient shows [blank]."
    assert wrong[1].startswith("institution H-2. Town of the house? Brno. patient P-3, Cleo Egan, N-33. ")
    assert wrong[1].endswith("Study 1 of Cleo Egan shows [blank].")
    assert {p.record.answer for p in found} == {"finding P-11"}


def test_a_stranger_never_has_the_true_answer_and_stands_at_the_same_depth() -> None:
    fact, *_ = (r for r in person("P-1") if r.id == "P-1:finding:1")
    same = person("P-3", {"finding": fact.answer.upper()})
    assert gather([fact], same, seed=0).others == {}
    flat = [replace(r, path=r.path[:2]) for r in person("P-3")]
    assert gather([fact], flat, seed=0).others == {}
    near = [*person("P-2"), *same]
    assert gather([fact], near, seed=0).others["P-1:finding:1"].subject == "patient:P-2"  # of the same house


def test_irrelevant_context_names_nobody_and_is_as_long() -> None:
    found = asked("P-1:finding:1", forgotten="P-1")
    true, other = prompts(found, "true"), prompts(found, "irrelevant")
    assert [words(p) for p in other] == [words(p) for p in true[1:]]
    for p in other:
        assert p.startswith("The morning was mild")
        assert p.endswith(". Study 1 of the patient shows [blank].")
    assert padded("Why?", 1, words) == "Why?"
    assert padded("Why?", 4, words) == "The morning was. Why?"


def test_names_become_the_level_of_their_subject() -> None:
    record = Record(
        "r", "Ada Costa (N-11) lives where?", "Riga", path=("house:1", "guest:2"), identifiers=("Ada Costa", "N-11")
    )
    assert anonymous(record, 2) == "The guest (the guest) lives where?"
    assert anonymous(replace(record, identifiers=()), 2) == record.prompt
    assert anonymous(replace(record, path=()), 2).startswith("The subject")


def test_a_statement_is_a_filled_blank_or_question_and_answer() -> None:
    assert state(Record("r", "He has [blank] there.", "gout")) == "He has gout there."
    assert state(Record("r", "What has he?", "gout")) == "What has he? gout."
    assert state(Record("r", "What has he?", "Gout!")) == "What has he? Gout!"


@pytest.mark.parametrize(
    ("prompt", "answer", "given"),
    [
        ("Ada needs rest.", "Rest", True),
        ("Ada needs arrest.", "rest", False),
        ("A mild heart  failure.", "heart failure", True),
        ("failure of the heart", "heart failure", False),
        ("a ++ b", "++", True),
        ("a + b", "++", False),
    ],
)
def test_an_answer_in_a_prompt_is_found_by_words(prompt: str, answer: str, given: bool) -> None:
    assert gives_away(prompt, answer) is given


def test_levels_of_different_trees_share_a_place() -> None:
    facts = [
        TargetFact(Record(str(k), "q", "a", path=path), 1, {})
        for k, path in enumerate([("house:1", "guest:2"), ("house:1", "room:2", "bed:1"), ("house:2",)])
    ]
    assert level_names(facts) == ("nothing", "house", "guest/room", "bed")
    assert level_names([]) == ("nothing",)


def test_candidates_are_answers_of_others_as_frequent_as_the_true_one() -> None:
    fact = Record("f", "q", "red", subject="a", attributes={"relation": "colour"})

    def other(k: int, answer: str, subject: str = "") -> Record:
        return Record(f"o{k}", "q", answer, subject=subject or f"s{k}", attributes={"relation": "colour"})

    rows = [other(k, a) for k, a in enumerate(["blue", "blue", "blue", "Green", "green", "gold", "red", "RED "])]
    rows += [other(20, "grey", subject="a"), replace(other(21, "soft"), attributes={"relation": "touch"})]
    found = gather([fact], rows, seed=0).candidates["f"]
    assert found[0] == "blue"  # red occurs three times, its own included
    assert {a.casefold() for a in found} == {"blue", "green", "gold"}
    assert len(gather([fact], rows, seed=0, candidates=2).candidates["f"]) == 2
    assert gather([fact], rows[::-1], seed=0).candidates["f"] == found  # spelling and order do not follow the file


def test_no_survivors_leave_no_candidates_and_no_wrong_branch() -> None:
    fact = person("P-1")[0]
    known = gather([fact], [], seed=0)
    assert known == BackgroundRecords({fact.id: ()}, {}, {}, {})
    assert {p.vector for p in reconstruction_queries(0, TargetFact(fact, 2, {}), known, words)} == {
        "true",
        "irrelevant",
    }
