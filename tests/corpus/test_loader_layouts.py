"""The generic layout: every format gives the same records, and every column means what the docs say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.corpus import Corpus, Record, Variant, content_id, load_corpus
from expunge.corpus.loaders import LOADERS, tables
from helpers.images import encoded


def jsonl(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")  # no line end after the last row
    return path


def one(folder: Path, **row: Any) -> Record:
    return load_corpus(jsonl(folder / "one.jsonl", {"prompt": "Who?", "answer": "Ada"} | row)).records[0]


def test_a_minimal_row_gets_the_documented_defaults(tmp_path: Path) -> None:
    record = one(tmp_path)
    assert record == Record(
        id=content_id("Who?", "Ada"), prompt="Who?", answer="Ada", kind="generation", subject=content_id("Who?", "Ada")
    )


ROWS = [
    {
        "id": "1",
        "prompt": 'A, "b"\nc?',
        "answer": "Ä",
        "path": "institution:H/patient:P",
        "facts": ["f", "g"],
        "variants": [["Other?", "Ä"]],
        "split": "forget",
        "topic": "Surgery",
    },
    {"id": "2", "prompt": "D?", "answer": "y", "options": ["x", "y"], "subject": "S", "split": "retain"},
]


def test_jsonl_csv_and_parquet_give_equal_corpora(tmp_path: Path) -> None:
    jsonl(tmp_path / "t.jsonl", *ROWS)
    pq.write_table(
        pa.Table.from_pylist([{**ROWS[0], "options": None, "subject": None}, {**dict.fromkeys(ROWS[0]), **ROWS[1]}]),
        tmp_path / "t.parquet",
    )
    (tmp_path / "t.csv").write_bytes(
        b"\xef\xbb\xbfid,prompt,answer,path,facts,variants,split,topic,options,subject\r\n"
        b'1,"A, ""b""\nc?",\xc3\x84,institution:H/patient:P,"[""f"", ""g""]","[[""Other?"", ""\xc3\x84""]]",'
        b"forget,Surgery,,\r\n\r\n"
        b'2,D?,y,,,,retain,,"[""x"", ""y""]",S\r\n'
    )
    first, *others = (load_corpus(tmp_path / f"t.{ending}") for ending in ("jsonl", "csv", "parquet"))
    assert all(other == first for other in others)
    assert first.records[0] == Record(
        id="1",
        prompt='A, "b"\nc?',
        answer="Ä",
        path=("institution:H", "patient:P"),
        subject="patient:P",
        facts=("f", "g"),
        variants=(Variant("Other?", "Ä"),),
        split="forget",
        attributes={"topic": "Surgery"},
    )
    assert first.records[1].kind == "classification"
    assert first.name == "t"


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_a_folder_takes_splits_from_file_names(tmp_path: Path, ending: str) -> None:
    for k, name in enumerate(("forget", "retain", "holdout", "utility")):
        text = f"prompt,answer\nQ{k},A\n" if ending == "csv" else json.dumps({"prompt": f"Q{k}", "answer": "A"})
        (tmp_path / f"{name}.{ending}").write_text(text)
    (tmp_path / "README.txt").write_text("not data")
    corpus = load_corpus(tmp_path)
    assert [(r.prompt, r.split) for r in corpus] == [
        ("Q0", "forget"),
        ("Q1", "retain"),
        ("Q2", "holdout"),
        ("Q3", "utility"),
    ]
    assert corpus == load_corpus(tmp_path, loader=ending)
    assert [r.prompt for r in corpus.trained] == ["Q0", "Q1"]


@pytest.mark.parametrize(
    ("columns", "prompt", "answer"),
    [
        (("input", "output"), "Q", "A"),
        (("question", "gt"), "Q", "A"),
        (("instruction", "response"), "Q", "A"),
        (("prompt", "completion"), "Q", "A"),
    ],
)
def test_aliases_of_columns_are_understood(tmp_path: Path, columns: tuple[str, str], prompt: str, answer: str) -> None:
    record = load_corpus(jsonl(tmp_path / "a.jsonl", {columns[0]: "Q", columns[1]: "A", "group": "G"})).records[0]
    assert (record.prompt, record.answer, record.subject, dict(record.attributes)) == (prompt, answer, "G", {})


def test_an_alias_beside_the_real_column_is_an_attribute(tmp_path: Path) -> None:
    assert one(tmp_path, question="what else?").attributes == {"question": "what else?"}


@pytest.mark.parametrize("as_file", [True, False])
def test_a_mapping_overrides_names_and_aliases(tmp_path: Path, as_file: bool) -> None:
    mapping: Any = {"prompt": "answer", "answer": "prompt", "concept": "level"}
    if as_file:
        (tmp_path / "map.yaml").write_text("prompt: answer\nanswer: prompt\nconcept: level\n")
        mapping = tmp_path / "map.yaml"
    source = jsonl(
        tmp_path / "m.jsonl",
        {"prompt": "Ada", "answer": "Who?", "level": "L3"},
        {"prompt": "Bob", "answer": "Who else?"},
    )
    records = load_corpus(source, mapping=mapping).records
    assert [(r.prompt, r.answer, r.concept) for r in records] == [("Who?", "Ada", "L3"), ("Who else?", "Bob", None)]


def test_an_empty_mapping_file_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text("# nothing\n")
    source = jsonl(tmp_path / "m.jsonl", {"prompt": "Q", "answer": "A"})
    assert load_corpus(source, mapping=tmp_path / "map.yaml") == load_corpus(source)


def test_plain_names_in_a_path_get_the_default_levels(tmp_path: Path) -> None:
    full = ("institution:H1", "patient:P", "study:S", "section:FINDINGS")
    assert one(tmp_path, path="H1/P/S/FINDINGS").path == full
    assert one(tmp_path, path=["H1", "patient:P", "S", "FINDINGS"]).path == full
    assert one(tmp_path, path='["H1", "P"]').path == full[:2]
    assert one(tmp_path, path="H1/P/S/F").subject == "patient:P"


def test_two_patients_of_one_name_are_two_subjects(tmp_path: Path) -> None:
    source = jsonl(
        tmp_path / "p.jsonl",
        *({"prompt": f"Q{k}", "answer": "A", "path": path} for k, path in enumerate(("H1/P-1", "H2/P-1/S", "H1/P-2"))),
    )
    assert [r.subject for r in load_corpus(source)] == [
        "institution:H1/patient:P-1",
        "institution:H2/patient:P-1",
        "patient:P-2",
    ]


def test_kind_is_inferred_unless_given(tmp_path: Path) -> None:
    assert one(tmp_path, options=["Ada", "Bob"]).kind == "classification"
    assert one(tmp_path, options=["Ada", "Bob"], kind="generation").kind == "generation"
    assert one(tmp_path, prompt="[blank] wrote it").kind == "cloze"
    assert one(tmp_path, prompt="", kind="completion").prompt == ""


def test_text_is_a_document_without_a_prompt(tmp_path: Path) -> None:
    record = load_corpus(jsonl(tmp_path / "t.jsonl", {"text": " Once\n"})).records[0]
    assert (record.prompt, record.answer, record.kind) == ("", " Once\n", "document")


def test_answer_index_counts_from_zero_and_may_stand_for_the_answer(tmp_path: Path) -> None:
    source = jsonl(
        tmp_path / "i.jsonl",
        {"prompt": "Q", "answer_index": 1, "options": ["x", "y"]},
        {"prompt": "R", "answer_index": "0", "options": ["x", "y"], "answer": "x"},
    )
    assert [r.answer for r in load_corpus(source)] == ["y", "x"]


def test_variants_are_texts_pairs_or_objects(tmp_path: Path) -> None:
    record = one(
        tmp_path,
        variants=[
            "Which?",
            ["Whose?", "hers"],
            {"prompt": "What?"},
            {"prompt": "Pick:", "answer": "A", "options": ["A", "B"]},
        ],
    )
    assert record.variants == (
        Variant("Which?", "Ada"),
        Variant("Whose?", "hers"),
        Variant("What?", "Ada"),
        Variant("Pick:", "A", ("A", "B")),
    )


def test_numbers_may_be_ids_and_empty_attributes_are_left_out(tmp_path: Path) -> None:
    record = one(tmp_path, id=7, subject=12, age=40, note="", tags=[], gone=None)
    assert (record.id, record.subject, dict(record.attributes)) == ("7", "12", {"age": 40})


def test_parquet_dates_become_texts_and_nan_is_missing(tmp_path: Path) -> None:
    import datetime

    pq.write_table(
        pa.table({"prompt": ["Q"], "answer": ["A"], "day": [datetime.date(2020, 1, 2)], "dose": [float("nan")]}),
        tmp_path / "d.parquet",
    )
    assert load_corpus(tmp_path / "d.parquet").records[0].attributes == {"day": "2020-01-02"}


def test_parquet_is_read_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(pa.table({"prompt": [f"Q{k}" for k in range(10)], "answer": ["A"] * 10}), tmp_path / "b.parquet")
    monkeypatch.setattr(tables, "BATCH", 4)
    assert [r.prompt for r in load_corpus(tmp_path / "b.parquet")] == [f"Q{k}" for k in range(10)]


def test_an_image_is_a_file_beside_the_data_and_part_of_the_default_id(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.png").write_bytes(encoded(1))
    (tmp_path / "images" / "2.png").write_bytes(encoded(2))
    source = jsonl(
        tmp_path / "i.jsonl", *({"prompt": "What?", "answer": "A", "image": f"images/{k}.png"} for k in (1, 2))
    )
    first, second = load_corpus(source).records
    assert first.image
    assert (first.image.name, first.image.data()) == ("images/1.png", encoded(1))
    assert first == load_corpus(Corpus.of([first, second]).save(tmp_path / "elsewhere" / "j.jsonl")).records[0]
    assert len({first.id, second.id, content_id("What?", "A")}) == 3


def test_a_loader_can_be_named_for_any_file_ending(tmp_path: Path) -> None:
    source = jsonl(tmp_path / "rows.data", {"prompt": "Q", "answer": "A"})
    assert len(load_corpus(source, loader="jsonl")) == 1
    assert {"jsonl", "csv", "parquet", "lume", "tofu"} <= set(LOADERS.names())


words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=6).filter(
    str.strip
)
nodes = st.text("abc-.é ", min_size=1, max_size=4).filter(str.strip)


@pytest.mark.slow
@given(
    st.lists(
        st.builds(
            lambda prompt, answer, wrong, path, facts, variant, concept, split: Record(
                id="",
                prompt=prompt,
                answer=answer,
                kind="classification" if wrong else "cloze",
                options=(answer, wrong) if wrong else (),
                path=tuple(f"level{k}:{n}" for k, n in enumerate(path)),
                subject="S",
                facts=tuple(facts),
                concept=concept,
                split=split,
                attributes={"x": [1, None], "y": 0},
                variants=(Variant(variant, answer, (answer, "other") if wrong else ()),),
            ),
            words,
            words,
            st.none() | words,
            st.lists(nodes, max_size=3),
            st.lists(words, max_size=2),
            words,
            st.sampled_from(["L1", "L4", None]),
            st.sampled_from(["holdout", "control", None]),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_a_saved_corpus_is_read_back_equal(tmp_path_factory: pytest.TempPathFactory, found: list[Record]) -> None:
    import dataclasses

    corpus = Corpus.of((dataclasses.replace(r, id=str(k)) for k, r in enumerate(found)), "saved")
    path = corpus.save(tmp_path_factory.mktemp("round") / "saved.jsonl")
    assert load_corpus(path) == corpus
    assert load_corpus(path).digest == corpus.digest
