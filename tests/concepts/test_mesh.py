"""Reader of MeSH tables: names in both orders, tree numbers, levels by branch, bad tables."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from expunge.concepts.dictionary import DictionaryEntry
from expunge.concepts.hierarchy import Hierarchy, ancestors
from expunge.concepts.readers.mesh import Mesh, natural_order, read_mesh
from helpers.bad_tables import check_unreadable, error_text

TERMS = (
    "mesh_id\tmesh_name\nD000001\tBowel\nD000002\tSurgical Procedures, Operative\nD000003\tDrainage\nD000004\tOther\n"
)
TREES = (
    "mesh_id\tmesh_name\tmesh_tree_number\nD000001\tBowel\tA03.556\nD000002\tx\tE04\n"
    "D000003\tDrainage\tE02.309\nD000003\tDrainage\tE04.237\n"
)


@pytest.fixture
def tables(tmp_path: Path) -> tuple[Path, Path]:
    for name, text in (("terms.tsv", TERMS), ("trees.tsv", TREES)):
        (tmp_path / name).write_text(text)
    return tmp_path / "terms.tsv", tmp_path / "trees.tsv"


def test_terms_get_ids_both_orders_and_the_highest_level_of_their_branches(tables: tuple[Path, Path]) -> None:
    result = read_mesh(*tables, Hierarchy.load("medical"))
    assert result.dictionary.entries == (
        DictionaryEntry("Bowel", "MESH:D000001", "L1"),
        DictionaryEntry("Surgical Procedures, Operative", "MESH:D000002", "L4"),
        DictionaryEntry("Operative Surgical Procedures", "MESH:D000002", "L4"),
        DictionaryEntry("Drainage", "MESH:D000003", "L4"),
        DictionaryEntry("Other", "MESH:D000004", None),
    )
    assert result.branches == {
        "MESH:D000001": ("A03.556",),
        "MESH:D000002": ("E04",),
        "MESH:D000003": ("E02.309", "E04.237"),
    }


def test_without_a_hierarchy_there_are_no_levels(tables: tuple[Path, Path]) -> None:
    assert {e.level for e in read_mesh(*tables).dictionary} == {None}


@pytest.mark.parametrize(
    ("name", "natural"),
    [
        ("Surgical Procedures, Operative", "Operative Surgical Procedures"),
        ("Anemia, Hemolytic, Congenital", "Congenital Hemolytic Anemia"),
        ("Diagnosis, Dual (Psychiatry)", "Dual Diagnosis (Psychiatry)"),
        ("Neoplasms, Glandular and Epithelial", "Glandular and Epithelial Neoplasms"),
        ("Appendicitis", "Appendicitis"),
        ("Amino Acids, Peptides, and Proteins", "Amino Acids, Peptides, and Proteins"),
        ("1,2-Dimethylhydrazine", "1,2-Dimethylhydrazine"),
        ("Picolinic acid, 4-(phenyl)-, Methyl ester", "Picolinic acid, 4-(phenyl)-, Methyl ester"),
    ],
)
def test_inverted_names_give_their_natural_order_and_others_stay(name: str, natural: str) -> None:
    assert natural_order(name) == natural


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("mesh_id\tname\nD000001\tBowel\n", 'terms.tsv:1: no column "mesh_name"; separate by tabs; '),
        ("mesh_id,mesh_name\nD000001,Bowel\n", 'terms.tsv:1: no column "mesh_id"; separate by tabs'),
        ("mesh_id\tmesh_name\tmesh_id\n", 'terms.tsv:1: the column "mesh_id" stands twice'),
        ("mesh_id\tmesh_name\nD000001\n", "terms.tsv:2: has 1 column, the header has 2"),
        ("mesh_id\tmesh_name\n\nD000001\t \n", 'terms.tsv:3: "mesh_name" is empty'),
        ("mesh_id\tmesh_name\nBowel\tD000001\n", 'terms.tsv:2: "Bowel" is no MeSH id; expected for example D001064'),
        (TERMS + "D000002\tAgain\n", 'terms.tsv:6: "D000002" stands twice; first at '),
        ("mesh_id\tmesh_name\n", "terms.tsv: holds no rows"),
    ],
)
def test_a_wrong_table_of_terms_is_refused(tables: tuple[Path, Path], content: str, line: str) -> None:
    assert error_text(lambda path: read_mesh(path, tables[1]), tables[0], content).startswith(line)


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ("D000001\tBowel\tA3.556", '"A3.556" is no MeSH tree number; expected for example C06.405.205.099'),
        ("D000001\tBowel\tA03.55", '"A03.55" is no MeSH tree number'),
        ("D000001\tBowel\tA03.556.", '"A03.556." is no MeSH tree number'),
        ("D000009\tUnknown\tA03.557", '"D000009" is not in terms.tsv; give two tables of the same year'),
        ("D000001\tBowel\tE04", '"E04" stands twice; first at '),
    ],
)
def test_a_wrong_tree_number_is_refused(tables: tuple[Path, Path], row: str, line: str) -> None:
    result = error_text(lambda path: read_mesh(tables[0], path), tables[1], f"{TREES}{row}\n")
    assert result.startswith(f"trees.tsv:6: {line}")


def test_what_is_no_table_is_refused(tables: tuple[Path, Path], tmp_path: Path) -> None:
    check_unreadable(lambda path: read_mesh(path, tables[1]), tmp_path / "t.tsv", "holds no rows", "mesh_id\tmesh_name")


def within(mesh: Mesh, branch: str) -> set[str]:
    return {c for c, numbers in mesh.branches.items() if any(branch in ancestors(n) for n in numbers)}


@pytest.fixture(scope="module")
def mesh(shared_data: Path) -> Mesh:
    folder = shared_data / "ontology"
    if not (folder / "mesh_terms.tsv").is_file():
        pytest.skip("no MeSH tables")
    return read_mesh(folder / "mesh_terms.tsv", folder / "mesh_tree_numbers.tsv", Hierarchy.load("medical"))


def test_the_year_2015_has_the_counts_of_its_description(mesh: Mesh) -> None:
    assert len({e.concept for e in mesh.dictionary}) == 27_455
    assert sum(map(len, mesh.branches.values())) == 56_341
    assert len(mesh.branches) == 27_453
    numbers = {n for several in mesh.branches.values() for n in several}
    assert len({n for n in numbers if "." not in n}) == 117
    assert {n.rpartition(".")[0] for n in numbers if "." in n} <= numbers
    counts = {branch: len(within(mesh, branch)) for branch in ("A", "G", "C", "C23", "E01", "E02", "E04", "F03")}
    assert counts == {"A": 1763, "G": 2024, "C": 4663, "C23": 761, "E01": 696, "E02": 599, "E04": 516, "F03": 187}
    assert not within(mesh, "E04") & (within(mesh, "A") | within(mesh, "C"))


def test_l4_of_mesh_is_exactly_the_surgical_procedures(mesh: Mesh) -> None:
    levels = {e.concept: e.level for e in mesh.dictionary}
    assert {c for c, level in levels.items() if level == "L4"} == within(mesh, "E04")
    assert levels["MESH:D001064"] == "L3"  # appendicitis
    assert Counter(levels[c] for c in within(mesh, "A")).most_common(1)[0][0] == "L1"
    assert set(Counter(levels[c] for c in within(mesh, "C") - within(mesh, "C23"))) == {"L3"}
    names = {e.name: e.concept for e in mesh.dictionary}
    assert names["Operative Surgical Procedures"] == names["Surgical Procedures, Operative"]
