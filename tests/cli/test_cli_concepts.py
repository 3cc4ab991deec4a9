"""`expunge concepts build`, `levels` and `list hierarchies`: files written, counts message, mistakes in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from expunge.concepts.dictionary import Dictionary, DictionaryEntry
from expunge.concepts.hierarchy import shipped
from expunge.corpus import load_corpus
from helpers.cli import Cli

TERMS = "mesh_id\tmesh_name\nD000001\tGut\nD000002\tSurgery, Major\n"
TREES = "mesh_id\tmesh_name\tmesh_tree_number\nD000001\tGut\tA03\nD000002\tSurgery, Major\tE04\n"
SSSOM = (
    "# a mapping\nsubject_id\tsubject_label\tpredicate_id\tobject_id\n"
    "MONDO:1\tsnurf disease\tskos:exactMatch\tUMLS:C9000001\n"
)
OBO = "[Term]\nid: MONDO:1\nname: disease of snurfs\n[Term]\nid: X:2\nname: big cut\nxref: MESH:D000002\n"
MEDQUAD = '{"focus": "Snurf trouble", "cui": ["C9000001"], "synonyms": ["ST"]}\n'
CONSO = "C9000009|ENG|P|L1|PF|S1|Y|A1||||MSH|PT|D000002|major knife work|0|N|256|\n"


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Path]:
    texts = {
        "terms.tsv": TERMS,
        "trees.tsv": TREES,
        "m.sssom.tsv": SSSOM,
        "toy.obo": OBO,
        "medquad.jsonl": MEDQUAD,
        "own.csv": "word,field\nscalpel,Surgery\nspoon,Kitchen\n",
        "umls/MRCONSO.RRF": CONSO,
        "umls/MRSTY.RRF": "C9000009|T061|B1|Something|AT1|256|\n",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return {name.partition(".")[0].partition("/")[0]: tmp_path / name for name in texts}


def test_build_joins_all_sources_and_one_helps_the_next(cli: Cli, sources: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "new" / "d.tsv"
    words = (
        "concepts",
        "build",
        "--mesh-terms",
        sources["terms"],
        "--mesh-trees",
        sources["trees"],
        "--sssom",
        sources["m"],
        "--obo",
        sources["toy"],
        "--umls-dir",
        sources["umls"].parent,
        "--umls-vocabulary",
        "MSH",
        "--medquad",
        sources["medquad"],
        "--medquad-synonyms",
        "--columns",
        sources["own"],
        "--name-column",
        "word",
        "--category-column",
        "field",
        "--out",
        out,
    )
    result = cli(*words, "--json").json
    assert Dictionary.load(out).entries == (
        DictionaryEntry("Gut", "MESH:D000001", "L1"),
        DictionaryEntry("Surgery, Major", "MESH:D000002", "L4"),
        DictionaryEntry("Major Surgery", "MESH:D000002", "L4"),
        DictionaryEntry("snurf disease", "UMLS:C9000001", "L3"),
        DictionaryEntry("disease of snurfs", "UMLS:C9000001", "L3"),
        DictionaryEntry("big cut", "X:2", "L4"),
        DictionaryEntry("major knife work", "UMLS:C9000009", "L4"),
        DictionaryEntry("Snurf trouble", "UMLS:C9000001", "L3"),
        DictionaryEntry("ST", "UMLS:C9000001", "L3"),
        DictionaryEntry("scalpel", "own:scalpel", "L4"),
        DictionaryEntry("spoon", "own:spoon"),
    )
    assert result == {
        "hierarchy": "medical",
        "out": str(out),
        "names": 11,
        "concepts": 7,
        "levels": {
            "L1": {"names": 1, "concepts": 1},
            "L2": {"names": 0, "concepts": 0},
            "L3": {"names": 4, "concepts": 1},
            "L4": {"names": 5, "concepts": 4},
            "none": {"names": 1, "concepts": 1},
        },
        "sources": {"mesh": 3, "sssom": 1, "obo": 2, "umls": 1, "medquad": 2, str(sources["own"]): 2},
    }
    before = out.read_bytes()
    shown = cli(*words)
    assert (shown.code, shown.err) == (0, "")
    assert "11 names of 7 concepts from mesh, sssom, obo, umls, medquad" in shown.out
    assert out.read_bytes() == before


def test_build_of_a_hierarchy_with_names_needs_no_source(cli: Cli, tmp_path: Path) -> None:
    result = cli("concepts", "build", "--hierarchy", "finance", "--out", tmp_path / "f.tsv", "--json").json
    assert result["names"] == result["sources"]["hierarchy"] == len(Dictionary.load(tmp_path / "f.tsv"))
    assert result["levels"]["L4"]["names"] > 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((), 'expunge concepts build: nothing to read, and the hierarchy "medical" has no names; give --mesh-terms'),
        (("--mesh-terms", "terms.tsv"), "--mesh-trees: is missing; MeSH needs both tables"),
        (("--medquad-synonyms",), "--medquad-synonyms: has nothing to read"),
        (("--umls-vocabulary", "MSH"), "--umls-vocabulary: has nothing to read"),
        (("--category-column", "x"), "--category-column: has nothing to read"),
        (("--hierarchy", "medicla"), 'hierarchy: there is no hierarchy "medicla"; did you mean "medical"?'),
        (("--sssom", "none.tsv"), "none.tsv: there is no such file"),
    ],
)
def test_a_wrong_build_is_one_line_and_writes_nothing(
    cli: Cli, tmp_path: Path, words: tuple[str, ...], line: str
) -> None:
    result = cli("concepts", "build", *words, "--out", tmp_path / "d.tsv")
    assert (result.code, result.out) == (2, "")
    assert result.line.startswith(f"error: {line}")
    assert not (tmp_path / "d.tsv").exists()


def test_build_into_a_folder_is_refused(cli: Cli, tmp_path: Path) -> None:
    line = cli("concepts", "build", "--hierarchy", "finance", "--out", tmp_path).line
    assert "is a folder; name a file in it" in line


def records(path: Path, *subjects: str, **more: str) -> Path:
    path.write_text(
        "".join(
            json.dumps({"id": f"q{k}", "prompt": f"Question {k}?", "answer": "A", "subject_name": s, **more}) + "\n"
            for k, s in enumerate(subjects)
        )
    )
    return path


def test_levels_gives_records_their_level_and_says_how_many_have_none(cli: Cli, tmp_path: Path) -> None:
    data = records(tmp_path / "r.jsonl", "Surgery", "Anatomy", "Unknown", "Surgery", "ENT")
    lines = data.read_text().splitlines()
    data.write_text("\n".join([*lines[:3], lines[3].replace('"id"', '"concept": "L2", "id"'), lines[4]]) + "\n")
    out = tmp_path / "l.jsonl"
    result = cli("concepts", "levels", "--data", data, "--out", out, "--json").json
    assert result == {
        "hierarchy": "medical",
        "out": str(out),
        "records": 5,
        "had_one": 1,
        "none": 1,
        "levels": {"L1": 1, "L2": 1, "L3": 1, "L4": 1},
    }
    assert {r.id: r.concept for r in load_corpus(out)} == {"q0": "L4", "q1": "L1", "q2": None, "q3": "L2", "q4": "L3"}
    shown = cli("concepts", "levels", "--data", data, "--out", out).out
    assert "3 records got a level, 1 had one; 1 have none; written to" in shown


def test_levels_that_fit_no_record_or_would_overwrite_are_refused(cli: Cli, tmp_path: Path) -> None:
    data = records(tmp_path / "r.jsonl", "Cooking", "Dancing")
    before = data.read_bytes()
    wrong = cli("concepts", "levels", "--data", data, "--out", tmp_path / "l.jsonl")
    assert (wrong.code, wrong.out) == (2, "")
    assert 'r.jsonl: no record meets a rule of the hierarchy "medical"; its rules read subject_name' in wrong.line
    assert not (tmp_path / "l.jsonl").exists()
    assert "is the file of the records" in cli("concepts", "levels", "--data", data, "--out", data).line
    assert "is a folder" in cli("concepts", "levels", "--data", data, "--out", tmp_path).line
    assert data.read_bytes() == before


def test_list_shows_the_shipped_hierarchies(cli: Cli) -> None:
    items = cli("list", "hierarchies", "--json").json["items"]
    assert [item["name"] for item in items] == shipped()
    assert {item["name"]: item["L4"] for item in items}["medical"] == "surgical"
    assert "mental-health" in cli("list", "hierarchies").out
