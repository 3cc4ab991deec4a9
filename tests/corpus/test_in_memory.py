"""Rows in memory, and folders of text files."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest

from expunge.corpus import Corpus, Record, load_corpus
from expunge.corpus.loaders import load_source
from expunge.errors import InputError, InputWarning


def test_a_data_frame_is_read_like_its_file(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "question": ["A?", "B?"],
            "answer": [1.0, 2.5],
            "day": [pandas.Timestamp("2026-01-02"), None],
            "tags": [["x", "y"], None],
            "age": pandas.array([3, None], dtype="Int64"),
        }
    )
    corpus = load_corpus(frame, mapping={"prompt": "question"})
    assert [(r.prompt, r.answer) for r in corpus] == [("A?", "1"), ("B?", "2.5")]
    assert corpus[0].attributes == {"day": "2026-01-02", "tags": ["x", "y"], "age": 3}
    assert corpus[1].attributes == {}
    frame.to_parquet(tmp_path / "t.parquet")
    assert load_corpus(tmp_path / "t.parquet").records == load_corpus(frame).records


def test_a_data_set_may_hold_chats() -> None:
    datasets = pytest.importorskip("datasets")
    chat = [{"role": "user", "content": "A?"}, {"role": "assistant", "content": "a"}]
    data = datasets.Dataset.from_list([{"messages": chat, "who": "S"}])
    source = load_source(data, mapping={"subject": "who"})
    assert (source.loader, source.reason) == ("messages", "the columns of its first row; read as rows")
    assert [(r.prompt, r.answer, r.subject) for r in source.corpus] == [("A?", "a", "S")]
    with pytest.raises(InputError, match=r'DatasetDict: holds several sets \(train\); give one .* data\["train"\]'):
        load_corpus(datasets.DatasetDict({"train": data}))


def test_a_list_of_rows_is_a_corpus() -> None:
    rows = [{"prompt": "A?", "answer": datetime.date(2026, 1, 2)}, {"text": "Once."}]
    assert [r.answer for r in load_corpus(rows)] == ["2026-01-02", "Once."]


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ([], "list: holds no rows"),
        ([3], "list:1: an object was expected, found a number"),
        (3, "int: holds no rows; give a path, a pandas DataFrame"),
        ([{"prompt": "A?"}], 'list:1: no "answer"'),
        ([{"prompt": "A?", "answer": None}], "list:1: the answer is empty"),
    ],
)
def test_an_object_without_rows_is_one_line(source: Any, part: str) -> None:
    with pytest.raises(InputError) as caught:
        load_corpus(source)
    assert part in str(caught.value)


def test_a_loader_of_files_reads_no_object() -> None:
    with pytest.raises(InputError, match='the loader "csv" reads files'):
        load_corpus([{"prompt": "A?", "answer": "a"}], loader="csv")


def test_a_corpus_shows_numbers_and_no_patient() -> None:
    corpus = Corpus.of([Record("a", "Ada?", "secret"), Record("b", "Bob?", "x", split="holdout")], "clinic")
    assert repr(corpus) == '<Corpus "clinic": 2 records (1 trained, 1 holdout)>'
    assert corpus[0].id == "a"
    assert [r.id for r in corpus[::-1]] == ["b", "a"]


def test_dictionaries_are_no_records() -> None:
    row: Any = {"prompt": "A?", "answer": "a"}
    for make in (Corpus, Corpus.of):
        with pytest.raises(InputError, match="a dict, not a Record; read rows with load_corpus"):
            make([row])


def test_a_folder_of_texts_is_a_corpus_of_documents(tmp_path: Path) -> None:
    for name, content in {
        "b/2.md": "# Zwei\r\nZeilen",
        "b/1.TXT": "\ufeffEins",
        "a.txt": "Ä".encode("cp1252"),
        ".hidden.txt": "no",
        "b/.git/x.txt": "no",
        "b/picture.png": b"\x89PNG",
        "empty.txt": " \n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.warns(InputWarning) as told:
        corpus = load_corpus(tmp_path, mapping={"subject": "folder"})
    assert [(r.id, r.answer, r.subject) for r in corpus] == [
        ("a.txt", "Ä", "a.txt"),
        ("b/1.TXT", "Eins", "b"),
        ("b/2.md", "# Zwei\nZeilen", "b"),
    ]
    assert {r.kind for r in corpus} == {"document"}
    assert len(told) == 2
    assert load_corpus(corpus.save(tmp_path.parent / f"{tmp_path.name}.jsonl")).records == corpus.records


def test_a_text_file_is_a_document(tmp_path: Path) -> None:
    (tmp_path / "letter.md").write_text("Once.")
    assert load_corpus(tmp_path / "letter.md")[0] == Record(
        "letter.md", "", "Once.", kind="document", subject="letter.md"
    )
    (tmp_path / "letter.md").write_text("")
    with pytest.raises(InputError, match="the answer is empty"):
        load_corpus(tmp_path / "letter.md")


def test_a_folder_with_tables_is_no_folder_of_texts(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Text")
    (tmp_path / "rows.jsonl").write_text(json.dumps({"prompt": "Q", "answer": "A"}))
    with pytest.raises(InputError, match="is a folder without forget and retain files"):
        load_corpus(tmp_path)


def test_lume_is_read_as_it_lies_on_the_hub(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    (tmp_path / "data").mkdir()
    for side in ("forget", "retain"):
        row = {"id": f"{side}sc1", "input": f"Once {side}", "output": "upon", "task": "Task1", "split": side}
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / "data" / f"{side}_train-00000-of-00001.parquet")
    source = load_source(tmp_path)
    assert source.loader == "lume"
    assert [(r.id, r.split, r.attributes["fold"]) for r in source.corpus] == [
        ("forgetsc1", "forget", "train"),
        ("retainsc1", "retain", "train"),
    ]


def test_a_data_set_is_read_as_it_lies_on_the_hub(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    (tmp_path / "data").mkdir()
    (tmp_path / "README.md").write_text("# Card")
    for k, name in enumerate(("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001")):
        chat = [{"role": "user", "content": f"Q{k}"}, {"role": "assistant", "content": "a"}]
        pq.write_table(pa.Table.from_pylist([{"messages": chat}]), tmp_path / "data" / f"{name}.parquet")
    with pytest.warns(InputWarning, match="1 file left out: only the set train is read, not test"):
        source = load_source(tmp_path)
    assert source.loader == "messages"
    assert [r.prompt for r in source.corpus] == ["Q0", "Q1"]
