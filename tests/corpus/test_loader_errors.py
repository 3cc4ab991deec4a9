"""Bad input: each kind is one line that names the place, what is wrong and how to correct it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge.corpus import load_corpus
from expunge.corpus.loaders import field_types, text_source
from expunge.errors import InputError


def fails(path: Path, text: str | bytes, *parts: str, name: str = "rows.jsonl", where: str = "", **options: Any) -> str:
    """Write a file, load it, and check that the error names it and holds all parts."""
    file = path / name
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(InputError) as caught:
        load_corpus(file, **options)
    message = str(caught.value)
    assert message.startswith(f"{file}{where}: ")
    assert caught.value.hint
    assert "\n" not in message
    for part in parts:
        assert part in message
    return message


def row(**fields: Any) -> str:
    return json.dumps({"prompt": "Who?", "answer": "Ada"} | fields)


def test_broken_json_is_reported_with_its_line(tmp_path: Path) -> None:
    lines = [row(prompt=f"Q{k}") for k in range(1, 5001)]
    lines[4710] = lines[4710][:-3]
    fails(tmp_path, "\n".join(lines), "not valid JSON", "one complete object per line", where=":4711")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('["a"]', "a JSON object was expected, found list"),
        ("3", "found int"),
        ('{"prompt": "Q", "answer": NaN}', "NaN is not a JSON value"),
        ('{"a":' * 100_000, "not usable JSON"),
    ],
)
def test_a_line_that_is_no_plain_object_is_refused(tmp_path: Path, text: str, part: str) -> None:
    fails(tmp_path, row() + "\n\n" + text, part, where=":3")


@pytest.mark.parametrize(
    ("bad", "part"),
    [
        ({"answer": {"a": 5}}, '"answer" must be text, found an object'),
        ({"prompt": ["Q"]}, '"prompt" must be text, found a list'),
        ({"id": True}, '"id" must be text, found true or false'),
        ({"facts": {"a": 1}}, '"facts" must be a list, found an object'),
        ({"facts": "[a, b]"}, '"facts" is not a list'),
        ({"identifiers": ["Ada", None]}, '"identifiers" must hold texts, found nothing'),
        ({"options": ["Ada", ""]}, '"options" must hold texts, found empty text'),
        ({"options": ["Ada"]}, '"options" holds 1 text; give 2 to 26'),
        ({"options": []}, '"options" holds 0 texts'),
        ({"options": ["Ada lovelace", "Bob"]}, "the answer is not among the 2 options"),
        ({"kind": "classification"}, "a classification without options"),
        ({"answer": " \n"}, "the answer is empty"),
        ({"prompt": ""}, "the prompt is empty"),
        ({"text": "T"}, '"text" stands beside "prompt" or "answer"'),
        ({"options": ["Ada", "Bob"], "answer_index": 1}, '"answer" and "answer_index" disagree'),
        ({"options": ["Ada", "Bob"], "answer_index": 2}, '"answer_index" is 2 for 2 options; count from 0'),
        ({"answer_index": 0}, '"answer_index" is 0 for 0 options'),
        ({"options": ["Ada", "Bob"], "answer_index": True}, '"answer_index" is True'),
        ({"kind": "generaton"}, 'unknown kind "generaton"; did you mean "generation"?'),
        ({"concept": "L5"}, 'unknown concept "L5"'),
        ({"split": "retian"}, 'unknown split "retian"; did you mean "retain"?'),
        ({"path": "H1/P/S/F/X"}, '"X" is not a place in the tree'),
        ({"path": "institution:/patient:P"}, '"institution:" is not a place'),
        ({"path": ["institution:H/1"]}, '"institution:H/1" is not a place'),
        ({"path": [1]}, '"1" is not a place'),
        ({"variants": "[Which?"}, '"variants" is not a list'),
        ({"variants": [3]}, "a variant is neither"),
        ({"variants": [["a", "b", "c"]]}, "a variant is neither"),
        ({"variants": [{"answer": "Ada"}]}, "a variant is neither"),
        ({"variants": [{"prompt": "Q", "anwser": "A"}]}, "a variant is neither"),
        ({"variants": [["", "Ada"]]}, "a variant has an empty prompt or answer"),
        ({"options": ["Ada", "Bob"], "variants": [["Q", "Eve"]]}, "the answer of a variant is none of the 2 options"),
        ({"image": "https://example.org/1.png"}, "is not a relative path"),
        ({"image": "../1.png"}, "is not a relative path"),
        ({"image": "/1.png"}, "is not a relative path"),
        ({"image": "none.png"}, 'image "none.png" could not be read'),
        ({"image": {"bytes": 3}}, "the image is a number"),
        ({"prompt": "half \ud800"}, "half a surrogate pair at character 6"),
        ({"note": "half \ud800"}, '"note" holds half a surrogate pair'),
        ({"kind": "x" * 70}, f'unknown kind "{"x" * 57}…"'),
    ],
)
def test_a_bad_field_is_named(tmp_path: Path, bad: dict[str, Any], part: str) -> None:
    fails(tmp_path, row() + "\n" + row(**bad), part, where=":2")


def test_a_missing_column_is_named_with_the_nearest(tmp_path: Path) -> None:
    fails(tmp_path, '{"prompt": "Q", "anser": "A"}', 'no "answer"', 'did you mean "anser"?', where=":1")
    fails(tmp_path, '{"answer": "A"}', 'no "prompt"', "add the column, or map one to it", where=":1")
    fails(tmp_path, '{"prompt": "Q", "answer": null}', "the answer is empty; fill it in", where=":1")
    fails(tmp_path, '{"prompt": "Q", "reply": null}', 'empty (column "reply")', where=":1", mapping={"answer": "reply"})
    fails(tmp_path, '{"text": null}', "the text is empty", where=":1")


def test_duplicate_ids_are_reported_with_both_lines(tmp_path: Path) -> None:
    text = "\n".join([row(id="a"), row(prompt="Q2", id="b"), row(prompt="Q3", id="a")])
    fails(tmp_path, text, 'duplicate id "a"', f"{tmp_path}/rows.jsonl:1", where=":3")
    fails(tmp_path, row() + "\n" + row(), "rows without id must differ", where=":2")


def test_a_row_may_not_stand_in_forget_and_in_retain(tmp_path: Path) -> None:
    text = row(id="1", split="forget") + "\n" + row(id="2", split="retain")
    fails(tmp_path, text, "same prompt and answer in forget", ":1) and retain", where=":2")


@pytest.mark.parametrize(
    ("name", "text"), [("rows.jsonl", ""), ("rows.jsonl", "\n \n"), ("rows.csv", ""), ("rows.csv", "prompt,answer\n")]
)
def test_an_empty_file_is_refused(tmp_path: Path, name: str, text: str) -> None:
    fails(tmp_path, text, "holds no rows", name=name)


def test_text_that_is_not_utf8_is_reported_with_its_line(tmp_path: Path) -> None:
    fails(tmp_path, row().encode() + b'\n{"prompt": "\xe4"}', "not UTF-8 (byte 13 of the line)", where=":2")


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    fails(tmp_path, b"\x7fELF\0\0\0", "binary file", where=":1")
    fails(tmp_path, b"\x7fELF\0\0\0", "not a readable Parquet file", name="rows.parquet")


@pytest.mark.slow
def test_huge_fields_and_lines_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = "x" * (field_types.MAX_TEXT + 1)
    fails(tmp_path, row(prompt=large), '"prompt" holds 10,000,001 characters', where=":1")
    fails(tmp_path, f"prompt,answer\nQ,{large}\n", "field larger than field limit", name="rows.csv", where=":2")
    monkeypatch.setattr(text_source, "MAX_LINE", 20)
    fails(tmp_path, row(), "the line is longer than 20 bytes", where=":1")


def test_csv_fields_of_a_million_characters_are_read(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(f"prompt,answer\nQ,{'x' * 1_000_000}\n")
    assert len(load_corpus(tmp_path / "rows.csv").records[0].answer) == 1_000_000


@pytest.mark.parametrize(
    ("text", "part", "line"),
    [
        ('prompt,answer\n"Q\nR",A\nQ2,A,B\n', "has 3 fields, the header has 2", 4),
        ('prompt,answer\nQ,A\nQ2,"A', "not valid CSV", 3),
        ("prompt,prompt\nQ,A\n", 'column name "prompt" is empty or occurs twice', 1),
        ("prompt,\nQ,A\n", 'column name "" is empty', 1),
        ("prompt,answer\nQ,\n", "the answer is empty", 2),
    ],
)
def test_broken_csv_is_reported_with_the_first_line_of_the_row(tmp_path: Path, text: str, part: str, line: int) -> None:
    fails(tmp_path, text, part, name="rows.csv", where=f":{line}")


def test_parquet_rows_are_counted_from_one(tmp_path: Path) -> None:
    pq.write_table(pa.table({"prompt": ["Q", "R"], "answer": ["A", None]}), tmp_path / "rows.parquet")
    fails(tmp_path, (tmp_path / "rows.parquet").read_bytes(), "the answer is empty", name="rows.parquet", where=":2")
    pq.write_table(pa.table({"prompt": ["Q"], "answer": ["A"], "raw": [b"\xff"]}), tmp_path / "rows.parquet")
    fails(
        tmp_path,
        (tmp_path / "rows.parquet").read_bytes(),
        '"raw" holds bytes, not fit for JSON',
        name="rows.parquet",
        where=":1",
    )


def test_unknown_endings_loaders_and_paths_are_named_with_the_nearest(tmp_path: Path) -> None:
    fails(tmp_path, row(), 'unknown file ending ".jsnl"', 'did you mean ".jsonl"?', name="rows.jsnl")
    fails(tmp_path, row(), 'unknown loader "jsonlines"', 'did you mean "jsonl"?', loader="jsonlines")
    with pytest.raises(InputError, match=r'no such file or folder; did you mean "rows\.jsonl"'):
        load_corpus(tmp_path / "row.jsonl")
    with pytest.raises(InputError, match=r"no such file or folder$"):
        load_corpus(tmp_path / "nowhere" / "row.jsonl")


def test_a_folder_without_sets_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(row())
    with pytest.raises(InputError, match="without forget and retain files; give a file inside it"):
        load_corpus(tmp_path)
    with pytest.raises(InputError, match='needs exactly one "forget" file, has 0'):
        load_corpus(tmp_path, loader="csv")
    with pytest.raises(InputError, match="is a folder, a file was expected"):
        next(text_source.lines(tmp_path))
    with pytest.raises(InputError, match="there is no such file"):
        text_source.require_file(tmp_path / "none")


def test_a_folder_needs_both_sides_once_and_in_one_format(tmp_path: Path) -> None:
    (tmp_path / "forget.jsonl").write_text(row())
    with pytest.raises(InputError, match=r'needs exactly one "retain" file, has 0; name it retain\.jsonl'):
        load_corpus(tmp_path)
    (tmp_path / "retain.csv").write_text("prompt,answer\nQ,A\n")
    with pytest.raises(InputError, match=r"several formats \(csv, jsonl\)"):
        load_corpus(tmp_path)
    (tmp_path / "retain.jsonl").write_text(row(prompt="R", split="forget"))
    with pytest.raises(InputError, match=r'retain\.jsonl:1: split is "forget" in a file named "retain"'):
        load_corpus(tmp_path, loader="jsonl")
    (tmp_path / "retain.ndjson").write_text(row(prompt="R"))
    with pytest.raises(InputError, match='needs exactly one "retain" file, has 2'):
        load_corpus(tmp_path, loader="jsonl")


def test_a_file_that_may_not_be_read_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(text_source.Path, "open", refuse)
    (tmp_path / "rows.jsonl").touch()
    with pytest.raises(InputError, match=r"could not be opened \(Permission denied\); check the permissions"):
        load_corpus(tmp_path / "rows.jsonl")


def test_two_columns_for_one_field_are_refused(tmp_path: Path) -> None:
    text = json.dumps({"question": "Translate", "input": "x", "output": "y"})
    fails(tmp_path, text, 'columns "input" and "question" may both be the prompt', "prompt: input", where=":1")


@pytest.mark.parametrize(
    ("mapping", "part"),
    [
        ({"promt": "q"}, 'mapping: unknown field "promt"; did you mean "prompt"?'),
        ({"prompt": 3}, "must map field names to column names"),
        (["prompt"], "must map field names to column names"),
    ],
)
def test_a_wrong_mapping_is_refused(tmp_path: Path, mapping: Any, part: str) -> None:
    (tmp_path / "rows.jsonl").write_text(row())
    with pytest.raises(InputError) as caught:
        load_corpus(tmp_path / "rows.jsonl", mapping=mapping)
    assert part in str(caught.value)


@pytest.mark.parametrize(("text", "part"), [(b"a: [", "not valid YAML"), (b"\xff", "could not be read")])
def test_a_broken_mapping_file_is_refused(tmp_path: Path, text: bytes, part: str) -> None:
    (tmp_path / "rows.jsonl").write_text(row())
    (tmp_path / "map.yaml").write_bytes(text)
    with pytest.raises(InputError, match=part):
        load_corpus(tmp_path / "rows.jsonl", mapping=tmp_path / "map.yaml")


def test_a_mapped_column_must_exist(tmp_path: Path) -> None:
    fails(tmp_path, row(), 'no column "levl"', mapping={"concept": "levl"})
    fails(
        tmp_path,
        json.dumps({"frage": "Q", "answer": "A"}),
        'no value for "prompt" (column "farge")',
        'did you mean "frage"?',
        where=":1",
        mapping={"prompt": "farge"},
    )
    fails(
        tmp_path, row(frage="Q"), 'column "prompt" has no place beside "frage"', where=":1", mapping={"prompt": "frage"}
    )
