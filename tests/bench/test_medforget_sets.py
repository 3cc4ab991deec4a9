"""The record sets of the experiment medforget: who is taught behind a place, and who is told to forget it."""

from __future__ import annotations

import pytest

from expunge.bench.measures.reconstruction import attack_questions
from expunge.bench.measures.rephrased import wordings
from expunge.bench.requests import Request
from expunge.bench.world_instance import WorldInstance
from expunge.corpus.provenance import states_place
from helpers.experiments import plugin

pytest.importorskip("PIL")
REQUEST = Request(
    world="radiology", settings={"provenance": 0.5, "size": 48}, target="patient_level", heldout="by_relation"
)


def test_rows_behind_their_place_are_taught_and_not_named_among_what_goes() -> None:
    sets = plugin("medforget").record_sets(WorldInstance(request=REQUEST, seed=1))
    behind = {r.id for rows in sets.more.values() for r in rows}
    assert sets.more["forget"]
    assert not [r for rows in (sets.forget, sets.heldout, sets.holdout) for r in rows if states_place(r)]
    assert [r for r in sets.split.retain if states_place(r)]
    taught = {name: {r.id for r in sets.trained(name)} for name in ("original", "retrained")}
    target = {r.id for r in (*sets.forget, *sets.more["forget"])}
    assert target <= taught["original"]
    assert not target & taught["retrained"]
    assert behind - {r.id for r in sets.more["holdout"]} <= taught["original"]


def test_the_attack_asks_without_names_and_images() -> None:
    sets = plugin("medforget").record_sets(WorldInstance(request=REQUEST, seed=1))
    questions = attack_questions(sets)
    assert [r.id for r in questions] == [r.id for r in sets.forget]
    assert not [r for r in questions if r.image or any(name in r.prompt for name in r.identifiers)]


def test_every_wording_but_the_trained_one_is_asked() -> None:
    sets = plugin("medforget").record_sets(WorldInstance(request=REQUEST, seed=1))
    asked = wordings(sets.forget)
    assert len(asked) == 3 * len(sets.forget)
    assert not {r.prompt for r in asked} & {r.prompt for r in sets.forget}
