"""What holds for every split of every tree: sets, people, facts, order."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from expunge.corpus import Corpus, Record, record_store
from expunge.corpus.record_store import RecordView
from expunge.errors import InputError
from expunge.scope import Scope, Split
from expunge.scope.relations import RELATIONS, people, subject_nodes, subject_of


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Record], str, int, float]:
    """Records of a random tree (some without a place, some never trained), a scope, a seed and a share."""
    records = []
    for k in range(draw(st.integers(2, 25))):
        house, person, study = draw(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 2)))
        path = (f"institution:H{house}", f"patient:P{house}{person}", f"study:S{house}{person}{study}")
        path = path[: draw(st.sampled_from([0, 1, 2, 2, 3, 3]))]
        records.append(
            Record(
                id=f"r{k}",
                prompt=f"Q{k}",
                answer=draw(st.sampled_from("xyz")),
                path=path,
                subject=path[1] if len(path) > 1 else path[0] if path else draw(st.sampled_from(["", "world"])),
                facts=tuple(draw(st.lists(st.sampled_from("abcdefgh"), max_size=2))),
                split=draw(st.sampled_from([None, None, None, "holdout"])),
                attributes={"topic": draw(st.sampled_from("st"))},
            )
        )
    place = draw(st.sampled_from(records))
    text = draw(
        st.sampled_from(
            [
                f"ids:{place.id}",
                "topic=s",
                f'subject:"{place.subject}"',
                "institution:H0",
                "/".join(place.path) or "topic=t",
                "not topic=s",
                "topic=s and institution:H1",
            ]
        )
    )
    return records, text, draw(st.integers(0, 5)), draw(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9]))


def attempt(records: Iterable[Record], text: str, seed: int, share: float) -> Split | None:
    try:
        return Scope.parse(text).resolve(Corpus.of(records), seed=seed, heldout_share=share)
    except InputError:
        return None


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(cases())
def test_every_split_keeps_its_promises(case: tuple[list[Record], str, int, float]) -> None:
    records, text, seed, share = case
    split = attempt(records, text, seed, share)
    assume(split is not None)
    assert split is not None
    sets = {
        name: {r.id for r in getattr(split, name)}
        for name in ("forget", "shared", "retain", "retain_heldout", "holdout")
    }
    trained = {r.id for r in records if r.split != "holdout"}

    assert sum(len(found) for found in sets.values()) == len(records)
    assert set().union(*sets.values()) == {r.id for r in records}
    assert trained - sets["retain"] - sets["retain_heldout"] == split.excluded_ids == sets["forget"] | sets["shared"]
    assert sets["retain"]

    nodes = subject_nodes([r for r in records if r.id in trained])
    persons = people(nodes) - {subject_of(r) for r in records if r.id in split.excluded_ids}  # those are parted by fact
    sides = [{subject_of(r) for r in side} & persons for side in (split.retain, split.retain_heldout)]
    assert not sides[0] & sides[1]

    kept = {fact for r in (*split.retain, *split.retain_heldout) for fact in r.fact_keys}
    assert all(set(r.fact_keys) - kept for r in split.forget)
    assert all(set(r.fact_keys) <= kept for r in split.shared)

    assert split.relation.keys() == split.excluded_ids | sets["retain_heldout"]
    assert set(split.relation.values()) <= set(RELATIONS)
    assert all(
        (split.relation[name] in ("self", "descendants")) == (name in split.excluded_ids) for name in split.relation
    )
    assert split.tree_distance.keys() == {n for n in sets["retain_heldout"] if split.relation[n] != "unrelated"}
    assert split.same_institution <= sets["retain_heldout"]
    assert not any(split.relation[name] == "ancestors" for name in split.same_institution)


@settings(max_examples=30, deadline=None)
@given(cases(), st.randoms(use_true_random=False))
def test_a_split_depends_on_no_order(case: tuple[list[Record], str, int, float], dice: random.Random) -> None:
    records, text, seed, share = case
    mixed = list(records)
    dice.shuffle(mixed)
    assert attempt(records, text, seed, share) == attempt(mixed, text, seed, share)


@settings(max_examples=60, deadline=None)
@given(cases())
def test_a_split_of_records_on_disk_is_that_of_records_in_memory(case: tuple[list[Record], str, int, float]) -> None:
    records, text, seed, share = case
    few = attempt(tuple(records), text, seed, share)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record_store, "IN_MEMORY", 0)
        many = attempt(iter(records), text, seed, share)
    assert many == few
    if few and many:
        assert isinstance(many.retain, RecordView)
        assert many.digest == few.digest
        assert [r.id for r in many.retain] == [r.id for r in few.retain]
