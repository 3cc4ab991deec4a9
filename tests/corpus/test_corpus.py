"""Records, trees and corpora: what they promise to everything above them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.corpus import Corpus, Record, Tree, Variant, contains, distance, lowest_common_ancestor
from expunge.errors import InputError

A = ("institution:A", "patient:1", "study:S")
B = ("institution:A", "patient:2")
C = ("institution:B", "patient:1")
TREE = Tree.from_paths([A, B, C])


def test_distance_counts_edges() -> None:
    assert lowest_common_ancestor(A, B) == A[:1]
    assert [distance(*pair) for pair in ((A[:2], B), (A[:2], C), (A, A), (A, ()), (A, B))] == [2, 4, 0, 3, 3]
    assert contains(A[:1], A)
    assert not contains(A, B)


paths = st.lists(st.sampled_from("abc"), max_size=4).map(tuple)


@given(paths, paths, paths)
def test_distance_is_a_metric(a: tuple[str, ...], b: tuple[str, ...], c: tuple[str, ...]) -> None:
    assert distance(a, b) == distance(b, a) >= 0
    assert (distance(a, b) == 0) == (a == b)
    assert distance(a, c) <= distance(a, b) + distance(b, c)


def test_a_tree_is_closed_under_parents_and_knows_its_levels() -> None:
    assert {(), A[:1], A[:2], A, B, C[:1], C} == TREE.nodes
    assert TREE.levels == ("institution", "patient", "study")


def test_nodes_are_found_by_short_name_or_full_path() -> None:
    assert TREE.find("patient:2") == B
    assert TREE.find("institution:B/patient:1") == C


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("patient:1", '"patient:1" names 2 nodes; give the full path, for example institution:A/patient:1'),
        ("patient:22", 'no node "patient:22" in the tree; did you mean "patient:2"?'),
        ("patent:2", 'unknown level "patent"; did you mean "patient"?'),
        ("nowhere", 'no node "nowhere" in the tree'),
        ("institution:B/patient:2", "no node"),
    ],
)
def test_a_node_that_is_not_clear_is_refused(name: str, part: str) -> None:
    with pytest.raises(InputError) as caught:
        TREE.find(name)
    assert part in str(caught.value)


def record(name: str, **fields: object) -> Record:
    return Record(id=name, prompt="Q", answer="A", **fields)  # type: ignore[arg-type]


def test_ids_are_unique_and_a_corpus_is_never_empty() -> None:
    with pytest.raises(InputError, match="holds no records"):
        Corpus.of([])
    with pytest.raises(InputError, match='duplicate id "1"'):
        Corpus.of([record("1"), record("1")])


def test_the_digest_ignores_order_and_sees_content() -> None:
    one, two = record("1"), record("2", path=A)
    assert Corpus.of([one, two]).digest == Corpus.of([two, one]).digest
    assert Corpus.of([one, two]).digest != Corpus.of([one, record("2", path=B)]).digest


def test_owners_are_the_nodes_of_trained_records() -> None:
    corpus = Corpus.of(
        [
            record("1", path=A, facts=("f",)),
            record("2", path=B, facts=("f", "g")),
            record("3", subject="S"),
            record("4", path=C, facts=("f",), split="holdout"),
        ]
    )
    assert corpus.owners == {"f": {A, B}, "g": {B}, "record:3": {("subject:S",)}}
    assert [r.id for r in corpus.where(lambda r: r.facts).trained] == ["1", "2"]
    assert corpus.tree.find("study:S") == A


def test_wordings_are_the_record_and_its_variants() -> None:
    given_ = record("1", options=("A", "B"), variants=(Variant("R", "A"), Variant("S", "C", ("C", "D"))))
    first, second, third = given_.wordings()
    assert first is given_
    assert (second.key, second.prompt, second.options, second.variants) == (("1", 1), "R", ("A", "B"), ())
    assert (third.key, third.answer, third.options) == (("1", 2), "C", ("C", "D"))
    assert [w.row_id for w in (first, second, third)] == ["1", "1~1", "1~2"]
    assert [w.content()["id"] for w in (first, second, third)] == ["1", "1~1", "1~2"]


def test_wordings_of_ids_that_look_like_wordings_stay_apart() -> None:
    a = record("a", variants=(Variant("R", "A"),))
    same = record("a~1", variants=(Variant("R", "A"),))
    other = [record(name) for name in ("a~1~0", "a~0", "a~", "a~x", "x~anchor", "~1", "a~1\n")]
    rows = [w for r in (a, same, *other) for w in r.wordings()]
    assert [w.row_id for w in rows[:4]] == ["a", "a~1", "a~1~0", "a~1~1"]
    assert len({w.row_id for w in rows}) == len({w.key for w in rows}) == len(rows) == 11
    assert Corpus.of([a, same, *other]).by_id["a~1"] is same
    assert same.as_row()["id"] == same.content()["id"] == "a~1"


def test_a_record_is_owned_by_the_deepest_node_or_its_subject() -> None:
    assert record("1", path=A).node == "study:S"
    assert record("1", subject="S").node == "subject:S"
