"""Questions behind their place in the tree, and surrogates of places, written down word by word."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from expunge.corpus import Record, Turn
from expunge.corpus.modalities import modality_variants
from expunge.corpus.provenance import anonymous, behind_provenance, node_name, provenance, states_place, subject_depth
from expunge.corpus.surrogate_places import place_identities, replaced_nodes
from expunge.corpus.surrogates import can_ask_about_another, make_surrogates
from helpers.reconstruction import everybody, person

PLACE = "institution H-1. patient P-1, Ada Costa, N-11. study S-11. section FINDING."


@pytest.fixture
def finding() -> Record:
    return person("P-1")[1]


def test_a_place_is_stated_from_the_root_with_the_names_of_the_subject(finding: Record) -> None:
    assert provenance(finding) == PLACE
    assert provenance(replace(finding, path=())) == ""
    assert (node_name("patient:P-1"), node_name("P-1")) == ("P-1", "P-1")


def test_the_subject_stands_at_its_own_node_or_else_at_the_last(finding: Record) -> None:
    assert subject_depth(finding) == 2
    assert subject_depth(replace(finding, subject="P-1")) == 2
    assert subject_depth(replace(finding, subject="somebody")) == 4
    assert subject_depth(replace(finding, path=())) == 0


def test_behind_its_place_a_question_names_nobody_and_shows_nothing(finding: Record) -> None:
    behind = behind_provenance(finding)
    assert behind.prompt == f"{PLACE} Study 1 of the patient shows [blank]."
    assert (behind.answer, behind.id, behind.modality) == (finding.answer, finding.id, "context")
    assert behind.row_id == "P-1:finding:1~context"
    assert behind.image is None
    assert behind.identifiers == finding.identifiers


def test_a_prompt_that_begins_with_its_place_states_it(finding: Record) -> None:
    assert states_place(behind_provenance(finding))
    assert not states_place(finding)
    assert not states_place(replace(finding, path=()))


def test_names_are_replaced_by_the_level_of_the_subject(finding: Record) -> None:
    assert anonymous(finding, 2) == "Study 1 of the patient shows [blank]."
    assert anonymous(finding, 3) == "Study 1 of the study shows [blank]."


def test_variants_by_place_are_made_once_and_only_of_questions_in_a_tree(finding: Record) -> None:
    rows = [finding, replace(finding, path=()), replace(finding, history=(Turn("user", "Hello"),))]
    assert [r.modality for r in modality_variants(rows, "context")] == ["trained", "context", "trained", "trained"]
    assert [r.modality for r in modality_variants(rows, "each")] == ["trained"] * 3
    stated = replace(behind_provenance(finding), modality="trained")
    assert modality_variants([stated], "context") == [stated]


def test_a_question_that_states_its_place_can_be_asked_about_another(finding: Record) -> None:
    nameless = replace(finding, identifiers=(), prompt="Ward?")
    assert not can_ask_about_another(nameless)
    assert can_ask_about_another(behind_provenance(nameless))


def nodes(records: list[Record], retained: list[Record]) -> list[str]:
    paths = {r.path[:k] for r in retained for k in range(1, len(r.path) + 1)}
    return ["/".join(map(node_name, node)) for node in replaced_nodes(records, paths)]


def test_replaced_are_the_subject_what_is_below_and_what_loses_everything() -> None:
    rows = everybody()
    whole = [r for r in rows if r.subject == "patient:P-1"]
    others = [r for r in rows if r.subject != "patient:P-1"]
    assert nodes(whole, others) == ["H-1/P-1", "H-1/P-1/S-11", "H-1/P-1/S-12"]
    house = [r for r in rows if r.path[0] == "institution:H-2"]
    others = [r for r in rows if r.path[0] != "institution:H-2"]
    assert nodes(house, others)[0] == "H-2"


def test_a_name_of_several_branches_stays(finding: Record) -> None:
    assert "FINDING" not in " ".join(nodes([finding], [r for r in everybody() if r is not finding]))


def test_a_surrogate_place_is_nobodys_and_names_below_it_follow() -> None:
    def row(patient: str, study: str) -> Record:
        path = ("house:H-1", f"patient:P-1-{patient}", f"study:S-1-{patient}-{study}")
        return replace(behind_provenance(Record("r", "Room?", "A", path=path, subject=path[1])), id=study + patient)

    target, others = [row("01", "1"), row("01", "2")], [row("02", "1"), row("03", "1")]
    for identity in place_identities(target, others, 20, np.random.default_rng(0)):
        assert list(identity) == ["P-1-01", "S-1-01-1", "S-1-01-2"]
        new = identity["P-1-01"]
        assert new not in {"P-1-01", "P-1-02", "P-1-03"}
        assert identity["S-1-01-2"] == f"S-1-{new.removeprefix('P-1-')}-2"


def test_the_surrogate_of_a_study_stands_beside_its_siblings() -> None:
    """The person is left in part: its own node is replaced all the same, as its name is."""
    target = [behind_provenance(r) for r in person("P-1") if "study:S-12" in r.path]
    others = [r for r in everybody() if "study:S-12" not in r.path]
    (identity,) = place_identities(target, others, 1, np.random.default_rng(1))
    assert list(identity) == ["P-1", "S-12"]
    assert identity["S-12"] not in {"S-11", "S-12", "S-21", "S-31"}


def test_letters_of_a_name_without_numbers_change_their_order() -> None:
    r = Record("a", "Town?", "Riga", path=("house:Oakwood",), subject="house:Oakwood")
    (identity,) = place_identities([behind_provenance(r)], [], 1, np.random.default_rng(0))
    new = identity["Oakwood"]
    assert new != "Oakwood"
    assert sorted(new.lower()) == sorted("oakwood")


def test_without_a_question_that_states_its_place_nothing_is_drawn() -> None:
    rows = everybody()
    assert place_identities(rows[:1], rows[1:], 2, np.random.default_rng(0)) == [{}, {}]


def test_surrogates_take_names_and_places_together() -> None:
    own = [behind_provenance(r) for r in person("P-1")]
    others = [r for r in everybody() if r.subject != "patient:P-1"]
    for surrogate in make_surrogates(own, others, 4, seed=0):
        prompt = surrogate.substitute(own[1]).prompt
        assert "Ada Costa" not in prompt
        assert "P-1," not in prompt
        assert prompt.endswith("section FINDING. Study 1 of the patient shows [blank].")
