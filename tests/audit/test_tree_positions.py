"""Places in the tree around the target, by hand."""

from __future__ import annotations

import pytest

from expunge.audit.checks.retention import tree
from expunge.audit.context import Context
from expunge.audit.details import TreeLevel
from expunge.audit.tree_positions import TreePosition, tree_levels, tree_position
from expunge.corpus import Corpus, Record
from expunge.scope import Scope, Split
from helpers.audits import context, scores

STUDY = (("house:1", "guest:A", "stay:1"),)


def record(*path: str, name: str = "x") -> Record:
    return Record(name, f"What of {name}?", "that", path=path, subject=path[1] if len(path) > 1 else path[0])


@pytest.mark.parametrize(
    ("path", "relation", "distance", "place"),
    [
        (("house:1",), "ancestors", None, TreePosition("ancestors", 1, 1, 2)),
        (("house:1", "guest:A"), "ancestors", 1, TreePosition("ancestors", 2, 2, 1)),
        (("house:1", "guest:A", "stay:2"), "siblings", 2, TreePosition("siblings", 2, 3, 2)),
        (("house:1", "guest:B", "stay:1"), "cousins", 4, TreePosition("cousins", 1, 3, 4)),
        (("house:1", "guest:B", "stay:1"), "same_attribute", 4, TreePosition("cousins", 1, 3, 4)),
        (("house:2", "guest:C", "stay:1"), "cousins", 6, TreePosition("cousins", 0, 3, 6)),
        (("house:2",), "cousins", 4, TreePosition("cousins", 0, 1, 4)),
        (("world:all", "words:x"), "unrelated", None, TreePosition("unrelated", 0, 0, None)),
    ],
)
def test_every_relation_has_its_place(
    path: tuple[str, ...], relation: str, distance: int | None, place: TreePosition
) -> None:
    assert tree_position(record(*path), relation, distance, STUDY) == place


def test_a_guest_of_another_house_stands_below_its_house() -> None:
    assert tree_position(record("house:2", "guest:C"), "cousins", 3, (("house:1",),)) == TreePosition(
        "cousins", 0, 2, 3
    )


def test_of_several_targets_the_nearest_counts() -> None:
    nodes = (("house:1", "guest:A"), ("house:2", "guest:C"))
    assert tree_position(record("house:2", "guest:D", "stay:1"), "cousins", 3, nodes) == TreePosition(
        "cousins", 1, 3, 3
    )


def test_the_way_names_what_is_one_and_counts_what_is_many() -> None:
    assert tree_levels([("house:1", "guest:A"), ("house:1", "guest:B")]) == (
        TreeLevel(level="house", name="1", count=1),
        TreeLevel(level="guest", name="", count=2),
    )
    assert tree_levels([("Ward",)]) == (TreeLevel(level="Ward", name="Ward", count=1),)


def asked(split: Split, after: dict[str, str]) -> Context:
    """Untouched records of which the original model knew all; `after`: id → hit of the unlearned model."""
    ids = [r.id for r in split.retain_heldout]

    def one_token_scores(hits: list[str]) -> dict[str, object]:
        return {"retain_heldout": scores([[0.0] if h == "1" else [-0.7] for h in hits], hits, ids=ids)}

    return context(
        split, {"original": one_token_scores(["1"] * len(ids)), "unlearned": one_token_scores([after[i] for i in ids])}
    )  # type: ignore[dict-item]


def test_retention_stands_at_its_place_nearest_first() -> None:
    kin = [
        record("house:1", "guest:B", name="b"),
        record("house:2", "guest:C", name="c"),
        record("house:2", "guest:D", name="d"),
        record("world:w", "words:v", name="w"),
    ]
    split = Split(
        "guest:A",
        (record("house:1", "guest:A", name="a"),),
        (),
        tuple(kin),
        nodes=(("house:1", "guest:A"),),
        relation={"b": "siblings", "c": "cousins", "d": "same_attribute", "w": "unrelated"},
        tree_distance={"b": 2, "c": 4, "d": 4},
    )
    found = tree(asked(split, {"b": "1", "c": "0", "d": "1", "w": "1"}))
    assert found is not None
    assert [(p.relation, p.distance, p.n_records, p.retention.estimate) for p in found.nodes] == [
        ("siblings", 2, 1, 1.0),
        ("cousins", 4, 2, 0.5),
        ("unrelated", None, 1, 1.0),
    ]
    assert found.targets == 1


def test_without_a_tree_there_is_nothing() -> None:
    assert tree(context(Split("s", (), (), ()), {})) is None
    flat = Corpus.of([Record(f"r{k}", f"Who is {k}?", f"n{k}", subject=f"s{k}") for k in range(9)], "flat")
    assert Scope.parse("subject:s1").resolve(flat).nodes == ()


def test_the_split_knows_the_nodes_that_its_scope_names() -> None:
    guests = Corpus.of([record(f"house:{k // 3}", f"guest:{k}", "stay:1", name=f"r{k}") for k in range(9)], "guests")
    assert Scope.parse("guest:4").resolve(guests).nodes == (("house:1", "guest:4"),)
    assert Scope.parse("guest:4 or house:2").resolve(guests).nodes == (("house:1", "guest:4"), ("house:2",))
