"""Edits by hand-made numbers: who is compared with whom, which neurons are chosen, and what becomes of weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from expunge.corpus import Record
from expunge.corpus.image import RecordImage
from expunge.errors import InputError
from expunge.methods import METHODS, WeightEdit
from expunge.methods.chip import Chip, project_out
from expunge.methods.editing import FORGET, RETAIN, Group, Stats, sample, top
from expunge.methods.manu import TEXT, Manu, importance
from expunge.methods.tree_groups import Relatives, siblings_of

EDITS = sorted(name for name, cls in METHODS if issubclass(cls, WeightEdit))


def rec(name: str, *path: str, subject: str = "", image: RecordImage | None = None) -> Record:
    return Record(name, f"{name}?", "yes", path=path, subject=subject, image=image)


def shown() -> RecordImage:
    return RecordImage.of("a.png", b"")


def stats(edit: WeightEdit, groups: dict[Group, list[list[list[float]]]]) -> Stats:
    """Sums of what `edit` measures of the rows of each group, each row [positions, neurons]."""
    sums: dict[Group, dict[str, Tensor]] = {}
    for group, rows in groups.items():
        for row in rows:
            z = torch.tensor(row)
            for name, value in edit.measure("language", z, torch.zeros(len(z)).bool()).items():
                known = sums.setdefault(group, {})
                known[name] = known.get(name, torch.zeros(())) + value.double()
    size = len(next(iter(groups.values()))[0][0])
    return Stats("language", size, sums, {g: len(rows) for g, rows in groups.items()})


# ---- chip ----


def test_a_direction_is_projected_out_of_the_identity() -> None:
    after = project_out(torch.eye(2), torch.tensor([[0.6, 0.8]]), 0.95)
    torch.testing.assert_close(after, torch.tensor([[0.64, -0.48], [-0.48, 0.36]]))


def test_projecting_twice_changes_nothing_more() -> None:
    random = torch.Generator().manual_seed(0)
    rows, directions = torch.randn(9, 5, generator=random), torch.randn(3, 9, generator=random)
    once = project_out(rows, directions, 1.0)
    torch.testing.assert_close(project_out(once, directions, 1.0), once)
    assert float((directions @ once).abs().max()) < 1e-5
    assert float((once - rows).norm()) > 1


@pytest.mark.parametrize(("energy", "rank"), [(0.5, 1), (0.8, 1), (0.9, 2), (1.0, 2)])
def test_as_few_directions_go_as_reach_the_energy(energy: float, rank: int) -> None:
    directions = torch.tensor([[2.0, 0, 0], [0, 1.0, 0]])  # squares 4 and 1 of 5
    after = project_out(torch.eye(3), directions, energy)
    assert torch.linalg.matrix_rank(after) == 3 - rank


def test_equal_directions_are_one() -> None:
    after = project_out(torch.eye(2), torch.tensor([[1.0, 0], [1.0, 0]]), 1.0)
    torch.testing.assert_close(after, torch.diag(torch.tensor([0.0, 1.0])))


def test_pictures_and_texts_are_weighed_and_texts_alone_are_their_mean() -> None:
    z, picture = torch.tensor([[1.0], [3.0], [10.0]]), torch.tensor([False, False, True])
    chip = Chip()
    assert chip.measure("language", z, picture)["a"].item() == pytest.approx(0.7 * 2 + 0.3 * 10)
    assert chip.measure("language", z, ~torch.ones(3).bool())["a"].item() == pytest.approx(14 / 3)
    assert chip.measure("connector", z, torch.ones(3).bool())["a"].item() == pytest.approx(14 / 3)


def test_chip_by_hand() -> None:
    part, siblings = ("part", "p:1", "siblings", "", "p"), ("siblings", "", "p")
    forget, others = [[[3.0, -4.0, 0.0, 1.0]]], [[[0.0, 0.0, 2.0, 1.0]]]
    found = stats(Chip(), {FORGET: forget, part: forget, RETAIN: others, siblings: others})
    chip = Chip(share=0.5)
    chosen = chip.select({"w": found})["w"]
    assert chosen.tolist() == [0, 1]  # the largest growth of the size, whatever its sign
    after = chip.rewrite(torch.eye(2), found, chosen)
    torch.testing.assert_close(after, torch.tensor([[0.64, 0.48], [0.48, 0.36]]))


def test_a_target_like_its_siblings_is_left_alone() -> None:
    part, same = ("part", "p:1", *RETAIN), [[[1.0, 2.0]]]
    found = stats(Chip(), {FORGET: same, part: same, RETAIN: same})
    assert torch.equal(Chip().rewrite(torch.eye(2), found, torch.tensor([0, 1])), torch.eye(2))


def test_matrices_that_only_one_side_reaches_are_left_alone() -> None:
    assert Chip().select({"w": stats(Chip(), {FORGET: [[[1.0, 2.0]]]})}) == {}
    assert Manu().select({"w": stats(Manu(), {RETAIN: [[[1.0, 2.0]]]})}) == {}


# ---- relatives ----


def kin(forget: list[Record], retain: list[Record]) -> dict[str, set[str]]:
    """Part → ids of its siblings."""
    found = Relatives.of(forget, retain)
    every = {siblings_of(found.part(r)): set[str]() for r in forget}
    for r in retain:
        for group in (RETAIN, *found.siblings(r)):
            if group in every:
                every[group].add(r.id)
    return {found.part(r)[1]: every[siblings_of(found.part(r))] for r in forget}


def test_siblings_lie_under_the_same_parent_and_children_are_parts() -> None:
    forget = [rec("own", "h:1", "p:1"), rec("a", "h:1", "p:1", "s:1"), rec("b", "h:1", "p:1", "s:2")]
    retain = [
        rec("near", "h:1", "p:2"),
        rec("below", "h:1", "p:3", "s:9"),
        rec("far", "h:2", "p:4"),
        rec("above", "h:1"),
    ]
    beside = {"near", "below"}
    assert kin(forget, retain) == {"h:1/p:1": beside, "h:1/p:1/s:1": beside, "h:1/p:1/s:2": beside}


def test_without_siblings_all_of_the_level_count_and_without_those_all() -> None:
    alone = [rec("t", "h:1", "p:1")]
    assert kin(alone, [rec("above", "h:1"), rec("far", "h:2", "p:4")]) == {"h:1/p:1": {"far"}}
    assert kin(alone, [rec("above", "h:1"), rec("w", "world:x")]) == {"h:1/p:1": {"above", "w"}}


def test_a_hospital_as_a_whole_is_compared_with_hospitals_by_its_patients() -> None:
    forget = [rec("a", "h:1", "p:1"), rec("b", "h:1", "p:2", "s:1")]
    assert kin(forget, [rec("x", "h:2", "p:3"), rec("w", "world:x")]) == {"h:1/p:1": {"x"}, "h:1/p:2": {"x"}}


def test_without_a_tree_subjects_are_compared() -> None:
    forget = [rec("a", subject="Anna"), rec("b", subject="Bob")]
    others = [rec("c", subject="Cy"), rec("d", subject="Di")]
    assert kin(forget, others) == {"subject:Anna": {"c", "d"}, "subject:Bob": {"c", "d"}}


def test_of_a_person_in_part_forgotten_the_rest_is_a_sibling() -> None:
    assert kin([rec("a", "h:1", "p:1")], [rec("rest", "h:1", "p:1"), rec("n", "h:1", "p:2")]) == {
        "h:1/p:1": {"rest", "n"}
    }


def test_chip_reads_every_record_once_and_a_sample_of_what_stays() -> None:
    forget, retain = [rec("t", "h:1", "p:1")], [rec(f"r{k}", "h:1", f"p:{k + 2}") for k in range(9)]
    rows = list(Chip().rows(forget, retain))
    assert [row.record.id for row in rows] == ["t", *(f"r{k}" for k in range(9))]
    few = [row.record.id for row in Chip(sample=4).rows(forget, retain)]
    assert len(few) == 5
    assert set(few) == {row.record.id for row in Chip(sample=4).rows(forget, retain[::-1])}
    assert sample(["b", "a"], 1) == sample(["a", "b"], 1)
    assert sample(["a"], None) == {"a"}


# ---- manu ----


def test_manu_by_hand() -> None:
    manu = Manu()
    both = stats(manu, {FORGET: [[[2.0], [2.0]]], FORGET + TEXT: [[[1.0], [1.0]]]})
    found = importance(both.sums[FORGET], both.sums[FORGET + TEXT])[:, 0]
    torch.testing.assert_close(found, torch.tensor([1 / 3, 0, 0, 0.6**0.5], dtype=torch.float64), rtol=0, atol=1e-6)
    assert float(found.sum()) == pytest.approx(1.1079, abs=5e-5)


def test_measures_are_per_position() -> None:
    manu = Manu()
    once, twice = (stats(manu, {FORGET: [[[1.0], [0.05]] * k]}).sums[FORGET] for k in (1, 2))
    alone = importance(once, None)[:, 0]
    assert alone.tolist() == pytest.approx([0.525, 0.5, 0.475, (1.0025 / 2) ** 0.5])
    assert torch.equal(importance(twice, None)[:, 0], alone)


def test_texts_alone_are_compared_side_against_side() -> None:
    manu = Manu(share=0.5)
    found = stats(manu, {FORGET: [[[5.0, 1.0, 1.0, 0.0]]], RETAIN: [[[1.0, 5.0, 1.0, 0.0]]]})
    assert Manu(share=0.25).select({"w": found})["w"].tolist() == [0]
    assert manu.select({"w": found})["w"].tolist() == [0, 2]
    assert Manu(share=0.25, standardize=True).select({"w": found})["w"].tolist() == [0]
    assert torch.equal(manu.rewrite(torch.ones(2, 3), found, torch.tensor([0, 2])), torch.zeros(2, 3))


def test_the_share_is_of_the_tower_and_towers_are_apart() -> None:
    manu = Manu(share=0.5)
    strong = stats(manu, {FORGET: [[[9.0, 8.0]]], RETAIN: [[[1.0, 1.0]]]})
    weak = stats(manu, {FORGET: [[[1.0, 2.0]]], RETAIN: [[[1.0, 1.0]]]})
    found = manu.select({"a": strong, "b": weak, "v": replace(weak, part="vision")})
    assert {name: neurons.tolist() for name, neurons in found.items()} == {"a": [0, 1], "b": [], "v": [1]}


def test_z_scores_keep_one_measure_from_outweighing_the_others() -> None:
    # neuron 0: spread alone, and huge; neuron 1: picture against text in everything else
    values: dict[Group, list[list[list[float]]]] = {
        FORGET: [[[90.0, 2.0, 1.0], [-90.0, 2.0, 1.0]]],
        FORGET + TEXT: [[[90.0, 0.2, 1.0], [-90.0, 0.2, 1.0]]],
        RETAIN: [[[1.0, 1.0, 1.0], [-1.0, 1.0, 1.0]]],
        RETAIN + TEXT: [[[1.0, 1.0, 1.0], [-1.0, 1.0, 1.0]]],
    }
    found = stats(Manu(), values)
    part = importance(found.sums[FORGET], found.sums[FORGET + TEXT])
    assert float(part[2, 0]) > 100
    assert float(part[[0, 1, 3], 0].sum()) == pytest.approx(0)
    scaled = Manu(share=0.34, standardize=True).select({"w": found})["w"].tolist()
    assert scaled == [1]


def test_pictures_are_read_with_and_without_where_both_sides_show_some() -> None:
    seen, text, stays = rec("a", image=shown()), rec("b"), rec("c", image=shown())
    rows = [(row.record.id, row.groups, row.record.image is None) for row in Manu().rows([seen, text], [stays])]
    assert rows == [
        ("a", (FORGET,), False),
        ("a", (FORGET + TEXT,), True),
        ("b", (FORGET, FORGET + TEXT), True),
        ("c", (RETAIN,), False),
        ("c", (RETAIN + TEXT,), True),
    ]
    assert [row.groups for row in Manu().rows([seen], [text])] == [(FORGET,), (RETAIN,)]
    assert len(list(Manu(sample=1).rows([text], [stays, text]))) == 2


# ---- both ----


def test_a_share_that_selects_no_neuron_is_refused_with_one_that_does() -> None:
    with pytest.raises(InputError, match=r"share: 0\.1 selects no neuron out of 8 \(w\); give at least 0\.125"):
        top(torch.zeros(8), 0.1, "w")
    assert top(torch.tensor([1.0, 3, 2, 0] * 5), 0.1, "w").tolist() == [1, 5]
    assert len(top(torch.zeros(10), 0.3, "w")) == 3  # .3 * 10 is a little less in floating point


@pytest.mark.parametrize("name", EDITS)
def test_settings_are_documented_frozen_and_unknown_ones_refused(name: str) -> None:
    cls = METHODS.get(name)
    assert cls.__doc__
    assert cls.source
    assert [n for n, f in cls.model_fields.items() if not f.description] == []
    for wrong in ({"no_such_setting": 1}, {"share": 0}, {"share": 1.5}, {"sample": 0}):
        with pytest.raises(ValidationError):
            cls.model_validate(wrong)
    assert cls.model_validate_json(cls().model_dump_json()) == cls()


def test_the_promised_edits_are_there() -> None:
    assert {"chip", "manu"} <= set(EDITS)
