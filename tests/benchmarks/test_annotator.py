"""The annotator's measurements: worked by hand on synthetic data, and within the goals on the development data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.speed.annotator import (
    Focus,
    focus_coverage,
    focuses_of,
    measure,
    mondo_bounds,
    parts,
    plain_search,
    resize,
)
from expunge.concepts.dictionary import Dictionary, DictionaryEntry
from expunge.errors import InputError

MONDO = Dictionary.of(
    [
        DictionaryEntry("skin disease", "UMLS:C0000001"),
        DictionaryEntry("Coats disease", "UMLS:C0000002"),
        DictionaryEntry("Gout", "UMLS:C0000003"),
        DictionaryEntry("gout", "MESH:D1"),
    ]
)
FOCUSES = [
    Focus("Gout", frozenset({"UMLS:C0000003"}), ("What is gout ?", "Is gout bad ?"), ()),
    Focus("Skin Diseases", frozenset({"UMLS:C0000001"}), ("What are Skin Diseases ?",), ()),
    Focus("Coats disease", frozenset({"UMLS:C0000009"}), ("What is Coats disease ?",), ()),
    Focus("Podagra", frozenset({"UMLS:C0000003"}), ("What is Podagra ?",), ("gout",)),
]


def test_coverage_is_counted_by_hand() -> None:
    assert focus_coverage(MONDO, FOCUSES) == {
        "stands": 2,
        "agreed": 1,
        "found_of_agreed": 1.0,
        "found_of_stands": 0.5,
        "whole": 0.5,
        "covered": 0.5,
        "by_synonym": 0.75,
    }
    assert mondo_bounds(MONDO, FOCUSES) == {"focuses": 4, "exact_labels": 0.25, "ids": 0.75}


def test_focuses_without_an_id_are_left_out_and_questions_are_kept_once() -> None:
    rows = [{"focus": "A", "cui": ["C0000001"], "question": q, "synonyms": ["B"]} for q in ("x", "y", "x")]
    rows.append({"focus": "N", "cui": [], "question": "z", "synonyms": []})
    assert focuses_of(rows) == [Focus("A", frozenset({"UMLS:C0000001"}), ("x", "y"), ("B",))]


def test_a_dictionary_is_resized_to_a_number_of_names() -> None:
    more, fewer = resize(MONDO, 50), resize(MONDO, 2)
    assert (len(more), len({e.name.casefold() for e in more}), len(fewer)) == (50, 50, 2)
    assert more == resize(MONDO, 50)


def test_the_plain_loop_finds_names_at_word_boundaries() -> None:
    assert sorted(plain_search(["gout", "ragout"], "Ragout, gout")) == [(0, 6), (8, 12)]


def test_missing_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"medquad_subset\.jsonl: there is no such file"):
        measure(tmp_path)


def write_data(folder: Path) -> Path:
    (folder / "medquad").mkdir()
    (folder / "ontology").mkdir()
    rows: list[dict[str, Any]] = [
        {
            "focus": f.name,
            "cui": [i.removeprefix("UMLS:") for i in f.ids],
            "question": q,
            "synonyms": list(f.synonyms),
            "answer": f"{f.name} hurts." if k else "It hurts.",
        }
        for k, f in enumerate(FOCUSES)
        for q in f.questions
    ]
    (folder / "medquad" / "medquad_subset.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "ontology" / "mesh_terms.tsv").write_text("mesh_id\tmesh_name\nD000001\tPodagra\n")
    (folder / "ontology" / "mesh_tree_numbers.tsv").write_text(
        "mesh_id\tmesh_name\tmesh_tree_number\nD000001\tPodagra\tC05.550\n"
    )
    (folder / "ontology" / "mondo_umls.sssom.tsv").write_text(
        "subject_id\tsubject_label\tpredicate_id\tobject_id\n"
        "MONDO:1\tgout\tskos:exactMatch\tUMLS:C0000003\nMONDO:2\tskin disease\tskos:exactMatch\tUMLS:C0000001\n"
    )
    return folder


def test_the_whole_measurement_on_synthetic_data(tmp_path: Path) -> None:
    result = measure(write_data(tmp_path), say=lambda _: None, names=30, reports=4, sample=2, pairs=1)
    assert result["answers"]["share"] == 2 / 5  # the skin disease and podagra; gout's two answers do not name it
    assert result["focuses"]["with MedQuAD's synonyms"]["by_synonym"] == 0.75
    assert (result["speed"]["names"], result["speed"]["reports"], result["speed"]["sample"]) == (30, 4, 2)
    assert result["speed"]["ratio"]["median"] > 0
    assert "answers with a concept: 40.00% of 5" in parts(result)[0]


def test_the_goals_are_met_on_the_development_data(shared_data: Path) -> None:
    from expunge.concepts.annotate import Annotator
    from expunge.concepts.readers.mesh import read_mesh
    from expunge.concepts.readers.sssom import read_sssom
    from expunge.corpus.loaders.tables import read_jsonl

    folder = shared_data / "ontology"
    mondo = read_sssom(folder / "mondo_umls.sssom.tsv").dictionary
    both = read_mesh(folder / "mesh_terms.tsv", folder / "mesh_tree_numbers.tsv").dictionary | mondo
    rows = [row.values for row in read_jsonl(shared_data / "medquad" / "medquad_subset.jsonl")]
    annotator = Annotator(both)
    some = [row["answer"] for row in rows[::20]]
    assert sum(bool(annotator.annotate(text)) for text in some) / len(some) >= 0.98
    focuses = focuses_of(rows)
    known = focus_coverage(both, focuses[::4], annotator)
    assert known["found_of_agreed"] >= 0.95
    limits = mondo_bounds(mondo, focuses)
    assert limits["exact_labels"] == pytest.approx(0.41, abs=0.005)
    assert limits["ids"] == pytest.approx(0.83, abs=0.005)
    assert known["whole"] > 0.41
