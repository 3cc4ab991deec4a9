"""Reader of OBO files: lenient syntax, names, ids, levels, bad files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from expunge.concepts.dictionary import Dictionary, DictionaryEntry
from expunge.concepts.hierarchy import Hierarchy
from expunge.concepts.readers.obo import read_obo
from expunge.concepts.readers.obo_parser import parse_terms
from helpers.bad_tables import check_unreadable, error_text

FILE = r"""format-version: 1.2
ontology: toy
! a comment of its own

[Term]
id: MONDO:0000001 {source="x"}
name: gut \{old\} disease\, chronic {kind="a"} ! the top
def: "Anything \"bad\" of the gut." [book:1]
synonym: "bowel \"trouble\"" EXACT ABBREVIATION [x:1, y:2] {a="b"}
synonym: "belly ache" RELATED []
synonym: "colon disease" NARROW []
exact_synonym: "gut illness" []
nonsense-tag: whatever it is
xref: UMLS:C1234567 {source="MONDO:equivalentTo"}
[Term]
id: MONDO:0000002
is_a: MONDO:0000001 {source="y"} ! gut disease
name: sore \
gut
xref: MSH:D000002 ! MeSH
xref: UMLS:C1111111
xref: UMLS:C2222222
[Typedef]
id: part_of
name: part of
[Term]
id: MONDO:0000003
name: forgotten thing
is_obsolete: true

[Term]
id: MONDO:0000004
name: obsolete gut thing
[Term]
id: MONDO:0000005
[Term]
id: UBERON:0000006
name: gut
is_a: MONDO:0000002
is_a: MONDO:0000001
"""


def read(tmp_path: Path, text: str, **more: Any) -> Dictionary:
    path = tmp_path / "toy.obo"
    path.write_text(text)
    return read_obo(path, **more)


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_file_full_of_oddities_gives_its_terms(tmp_path: Path, ends: str) -> None:
    path = tmp_path / "toy.obo"
    path.write_bytes(("\ufeff" + FILE.replace("\n", ends)).encode())
    result = {t.id: t for t in parse_terms(path)}
    assert list(result) == ["MONDO:0000001", "MONDO:0000002", "UBERON:0000006"]
    top = result["MONDO:0000001"]
    assert top.name == "gut {old} disease, chronic"
    assert top.synonyms == (
        ('bowel "trouble"', "EXACT"),
        ("belly ache", "RELATED"),
        ("colon disease", "NARROW"),
        ("gut illness", "EXACT"),
    )
    assert top.xrefs == ("UMLS:C1234567",)
    assert top.where == f"{path}:5"
    assert result["MONDO:0000002"].name == "sore gut"
    assert result["UBERON:0000006"].parents == ("MONDO:0000002", "MONDO:0000001")


def test_exact_synonyms_are_names_and_a_single_cross_reference_is_the_id(tmp_path: Path) -> None:
    result = read(tmp_path, FILE)
    assert [(e.name, e.concept) for e in result] == [
        ("gut {old} disease, chronic", "UMLS:C1234567"),
        ('bowel "trouble"', "UMLS:C1234567"),
        ("gut illness", "UMLS:C1234567"),
        ("sore gut", "MONDO:0000002"),
        ("gut", "UBERON:0000006"),
    ]


def test_a_mapping_decides_between_ids_and_other_scopes_can_be_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "toy.obo"
    path.write_text(FILE)
    result = read_obo(path, scopes=("RELATED",), cuis={"MONDO:0000002": "UMLS:C2222222"})
    assert DictionaryEntry("sore gut", "UMLS:C2222222") in result.entries
    assert DictionaryEntry("belly ache", "UMLS:C1234567") in result.entries


def rule(*rules: dict[str, object]) -> Hierarchy:
    levels = {f"L{k}": {"name": "x", "alpha": 0, "beta": 0} for k in range(1, 5)}
    return Hierarchy.model_validate({"name": "own", "title": "", "source": "", "levels": levels, "rules": list(rules)})


def chain(*parents: tuple[str, str]) -> str:
    ids = dict.fromkeys(part for pair in parents for part in pair)
    return "".join(
        f"[Term]\nid: {id_}\nname: {id_} name\n" + "".join(f"is_a: {p}\n" for c, p in parents if c == id_)
        for id_ in ids
    )


def levels(tmp_path: Path, text: str, hierarchy: Hierarchy, **more: Any) -> dict[str, str | None]:
    result = read(tmp_path, text, hierarchy=hierarchy, **more)
    return {e.concept: e.level for e in result}


def test_nearest_rule_on_each_path_highest_level_between_paths(tmp_path: Path) -> None:
    text = chain(("X:c", "X:b"), ("X:b", "X:a"), ("X:d", "X:c"), ("X:d", "X:e"), ("X:e", "X:a"))
    result = levels(tmp_path, text, rule({"level": "L4", "branches": ["X:a"]}, {"level": "L1", "branches": ["X:b"]}))
    assert result == {"X:a": "L4", "X:b": "L1", "X:c": "L1", "X:d": "L4", "X:e": "L4"}


def test_a_cycle_and_a_very_long_chain_end(tmp_path: Path) -> None:
    own = rule({"level": "L3", "branches": ["X:0"]})
    assert levels(tmp_path, chain(("X:1", "X:2"), ("X:2", "X:1"), ("X:2", "X:0")), own)["X:2"] == "L3"
    long = levels(tmp_path, chain(*((f"X:{k + 1}", f"X:{k}") for k in range(3000))), own)
    assert long["X:3000"] == "L3"
    assert len(long) == 3001


def test_cross_references_then_semantic_types_follow_branches(tmp_path: Path) -> None:
    medical = Hierarchy.load("medical")
    result = levels(tmp_path, FILE, medical, known={"MESH:D000002": "L4"})
    assert result == {"UMLS:C1234567": "L3", "MONDO:0000002": "L4", "UBERON:0000006": "L1"}
    text = "[Term]\nid: MAXO:0000004\nname: surgical procedure\n[Term]\nid: MAXO:1\nname: cut\nis_a: MAXO:0000004\n"
    assert levels(tmp_path, text, medical) == {"MAXO:0000004": "L4", "MAXO:1": "L4"}


def test_a_name_in_a_rule_beats_the_branch(tmp_path: Path) -> None:
    own = rule({"level": "L4", "branches": ["X:0"]}, {"level": "L2", "names": ["x:1 NAME"]})
    assert levels(tmp_path, chain(("X:1", "X:0")), own) == {"X:0": "L4", "X:1": "L2"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[Term]\nid: X:1\nno tag here\n", 'toy.obo:3: "no tag here" is not "tag: value"; give an OBO flat file'),
        ("mesh_id\tmesh_name\n", 'toy.obo:1: "mesh_id\tmesh_name" is not "tag: value"'),
        ("[Term]\nid: X:1\nname: a\n\n[Term]\nname: b\n", "toy.obo:5: a [Term] without an id"),
        ("[Term]\nid: X:1\nname: a\nsynonym: bare EXACT []\n", "toy.obo:4: the synonym is not in quotes"),
        ("[Term]\nid: X:1\nname: a\n[Term]\nid: X:1\nname: b\n", 'toy.obo:4: "X:1" stands twice; first at '),
        ("format-version: 1.2\n", "toy.obo: holds no [Term]"),
        ("[Term]\nid: X:1\nname: a\nis_obsolete: true\n", "toy.obo: holds no term in use"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, line: str) -> None:
    assert error_text(read_obo, tmp_path / "toy.obo", text).startswith(line)


def test_what_is_no_obo_file_is_refused(tmp_path: Path) -> None:
    check_unreadable(read_obo, tmp_path / "toy.obo", "holds no [Term]", "format-version: 1.2")


def test_a_line_that_is_continued_at_the_end_of_the_file_still_counts(tmp_path: Path) -> None:
    assert [e.name for e in read(tmp_path, "[Term]\nid: X:1\nname: cut \\")] == ["cut"]
