"""Reader of MedQuAD: focuses and synonyms as names of UMLS concepts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from expunge.concepts.dictionary import DictionaryEntry
from expunge.concepts.hierarchy import Hierarchy
from expunge.concepts.readers.medquad import read_medquad
from helpers.bad_tables import check_unreadable, error_text


def row(**more: Any) -> dict[str, Any]:
    return {
        "focus": "Snurf disease",
        "cui": ["C9000001"],
        "synonyms": ["SD", "snurfitis"],
        "semantic_type": ["T047"],
        "question": "What is (are) Snurf disease ?",
        **more,
    }


def written(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def test_focuses_alone_or_with_synonyms(tmp_path: Path) -> None:
    path = written(
        tmp_path / "m.jsonl",
        row(),
        row(question="again"),
        row(focus="Nothing known", cui=[]),
        row(focus="Two  parts", cui=["C9000002", "C9000003"], synonyms=[], semantic_type=["T184"]),
    )
    medical = Hierarchy.load("medical")
    focuses = (
        DictionaryEntry("Snurf disease", "UMLS:C9000001", "L3"),
        DictionaryEntry("Two parts", "UMLS:C9000002", "L2"),
        DictionaryEntry("Two parts", "UMLS:C9000003", "L2"),
    )
    assert read_medquad(path, medical).entries == focuses
    assert read_medquad(path, medical, synonyms=True).entries == (
        focuses[0],
        DictionaryEntry("SD", "UMLS:C9000001", "L3"),
        DictionaryEntry("snurfitis", "UMLS:C9000001", "L3"),
        *focuses[1:],
    )
    assert {e.level for e in read_medquad(path)} == {None}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"focus": " "}, 'm.jsonl:2: "focus" is missing or empty'),
        ({"focus": None}, 'm.jsonl:2: "focus" is missing or empty'),
        ({"cui": ["C1"]}, 'm.jsonl:2: "C1" is no UMLS concept id'),
        ({"cui": "C9000001"}, 'm.jsonl:2: "cui" is not a list of texts; write  "cui": ["…"]'),
        ({"synonyms": [1]}, 'm.jsonl:2: "synonyms" is not a list of texts'),
    ],
)
def test_a_wrong_row_is_refused(tmp_path: Path, change: dict[str, Any], line: str) -> None:
    text = json.dumps(row()) + "\n" + json.dumps(row(**change)) + "\n"
    assert error_text(lambda path: read_medquad(path, synonyms=True), tmp_path / "m.jsonl", text).startswith(line)


def test_a_file_of_other_columns_or_without_ids_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    assert error_text(read_medquad, path, '{"focus": "x"}\n').startswith('m.jsonl:1: no "cui"')
    assert error_text(read_medquad, path, '{"focus": "x", "cui": []}\n').startswith("m.jsonl: gives no concept id")
    assert error_text(read_medquad, path, "{\n").startswith("m.jsonl:1: not valid JSON")
    path.unlink()
    check_unreadable(read_medquad, path, "holds no rows", json.dumps(row()))


def test_the_subset_has_the_focuses_of_its_description(shared_data: Path) -> None:
    path = shared_data / "medquad" / "medquad_subset.jsonl"
    if not path.is_file():
        pytest.skip("no MedQuAD")
    focuses, both = read_medquad(path), read_medquad(path, synonyms=True)
    assert len({e.concept for e in focuses}) == 2_215
    assert len({e.name for e in focuses}) == 2_183
    assert set(focuses) < set(both)
    assert {e.concept for e in both} == {e.concept for e in focuses}
