"""A cell: which records a model is taught, which a run sees, and which nobody does."""

from __future__ import annotations

import pytest

from expunge.bench.requests import Request
from expunge.bench.world_instance import WorldInstance, draw_heldout
from expunge.corpus import Record
from expunge.errors import InputError
from helpers.experiments import CELL, REQUEST


def test_the_target_is_l4_and_nothing_of_it_stays() -> None:
    sets = CELL.sets()
    assert {r.concept for r in sets.forget} == {"L4"}
    assert {r.concept for r in (*sets.split.retain, *sets.heldout)} == {"L1", "L2", "L3"}
    assert {r.id for r in sets.trained("original")} - {r.id for r in sets.trained("retrained")} == {
        r.id for r in sets.forget
    }
    assert sets.trained("retrained") == sets.trained("retrained-2")


def test_non_members_are_never_taught_and_asked_like_the_target() -> None:
    sets = CELL.sets()
    assert not {r.id for r in sets.holdout} & {r.id for r in sets.trained("original")}
    assert {(r.concept, r.kind, r.attributes["relation"]) for r in sets.holdout} <= {
        (r.concept, r.kind, r.attributes["relation"]) for r in sets.forget
    }


def test_what_stays_is_divided_by_subject_and_every_level_has_both_sides() -> None:
    sets = CELL.sets()
    given, hidden = ({(r.concept, r.subject) for r in side} for side in (sets.split.retain, sets.heldout))
    assert not given & hidden
    assert {level for level, _ in given} == {level for level, _ in hidden} == {"L1", "L2", "L3"}
    assert len(sets.split.retain) + len(sets.heldout) + len(sets.forget) == len(sets.corpus.trained)


def test_the_division_takes_a_share_of_each_level_by_name() -> None:
    records = [
        Record(f"{level}{k}", "p", "a", concept=level, subject=f"{level}-{k}")
        for level, n in (("L1", 9), ("L2", 2), ("L3", 1))
        for k in range(n)
    ]
    nodes = {r.subject: (f"knowledge:{r.concept}",) for r in records}
    found = draw_heldout(records, nodes, 0, 1 / 3)
    assert sorted(name[:2] for name in found) == ["L1", "L1", "L1", "L2"]  # a lone subject is given
    assert draw_heldout(records[::-1], nodes, 0, 1 / 3) == found
    assert draw_heldout(records, nodes, 1, 1 / 3) != found


def test_seeds_are_worlds_of_their_own() -> None:
    first, second = CELL.sets(), WorldInstance(request=REQUEST, seed=2).sets()
    assert not {(r.prompt, r.answer) for r in first.forget} & {(r.prompt, r.answer) for r in second.forget}
    assert first.digest != second.digest


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (Request(world="financ"), 'unknown world "financ"; did you mean "finance"'),
        (Request(world="finance", preset="smal"), 'unknown preset "smal"; did you mean "small"'),
        (Request(world="finance", settings={"target": 3}), 'unknown key "target"; did you mean "targets"'),
        (Request(world="hospital", preset="tiny"), "is 0, so the world holds no surgical knowledge"),
        (Request(world="finance", settings={"holdout": 0}), "gives no never-trained records"),
        (Request(world="finance", target="concept=L5"), 'no record has concept="L5"'),
    ],
)
def test_a_world_that_cannot_serve_is_refused_in_a_line(asked: Request, words: str) -> None:
    with pytest.raises(InputError, match=words):
        WorldInstance(request=asked, seed=0).sets()


def test_a_request_is_named_by_what_was_changed() -> None:
    assert str(Request(world="finance")) == "finance"
    assert str(Request(world="finance", settings={"overlap": 0.5})) == "finance (overlap 0.5)"
    assert str(WorldInstance(request=REQUEST, seed=3)).endswith("), seed 3")
