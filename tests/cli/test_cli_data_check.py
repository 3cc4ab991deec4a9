"""`expunge data check`: what a file holds and how it is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.cli import Cli, make_model

ROWS = """\
{"question": "Who is Ada?", "answer": "A poet", "path": "H1/P1", "identifiers": ["Ada"], "mood": "glad"}
{"question": "Who is Ada?", "answer": "A cook", "id": "x~anchor", "note": ""}
{"question": "Is it\\nlate?", "answer": "No", "subject": "S"}
{"question": "Why?", "answer": "So"}
"""


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    file = tmp_path / "rows.jsonl"
    file.write_text(ROWS)
    return file


def test_the_object_holds_what_was_read(cli: Cli, rows: Path) -> None:
    result = cli("data", "check", str(rows), "--json").json
    assert result["loader"] == {"name": "jsonl", "reason": "the file ending of rows.jsonl", "fixed_columns": False}
    assert result["files"] == {str(rows): 4}
    assert {"column": "question", "field": "prompt", "by": "alias", "filled": 4} in result["columns"]
    assert {"column": "note", "field": None, "by": "", "filled": 0} in result["columns"]
    assert (result["records"], result["subjects"]) == (4, 4)
    assert result["subject_origins"] == {"tree": 1, "id": 2, "column": 1}
    assert result["levels"] == {"institution": 1, "patient": 1}
    assert result["conflicts"]["count"] == 1
    assert result["conflicts"]["examples"][0][1] == "x~anchor"
    assert result["examples"][1] == {"id": "x~anchor", "text": "Who is Ada? A cook<end>"}
    assert len(result["examples"]) == 3


def test_the_table_is_for_people(cli: Cli, rows: Path) -> None:
    result = cli("data", "check", str(rows))
    assert result.code == 0
    lines = [" ".join(line.split()) for line in result.out.splitlines()]
    for line in (
        "question prompt alias 4",
        "mood attribute – 1",
        "note ignored, empty – 0",
        "subjects 4 (patient node of the path 1, id of the record 2, from a column 1)",
        "duplicate questions 0",
        "identifiers 1 of 4 records with some; in 0 of these the prompt contains none",
    ):
        assert line in lines
    assert any(line.endswith("Is it\\nlate? No<end>") for line in lines)


def test_a_long_record_is_cut_in_the_middle(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"id": "1", "prompt": "%s", "answer": "end"}' % ("a" * 700))
    assert cli("data", "check", str(file)).out.splitlines()[-1] == f"  1: {'a' * 300} … {'a' * 291} end<end>"
    assert len(cli("data", "check", str(file), "--json").json["examples"][0]["text"]) == 709


def test_a_layout_of_its_own_shows_the_fields_that_its_loader_makes(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "forget.jsonl"
    file.write_text('{"id": "d1sc1", "input": "Q", "output": "A", "task": "Task1"}\n')
    assert "the layout has columns of its own" in cli("data", "check", str(file), "--loader", "lume").out
    result = cli("data", "check", str(file), "--loader", "lume", "--json").json
    assert result["loader"] == {"name": "lume", "reason": "as requested", "fixed_columns": True}


def test_a_model_shows_its_own_template_and_counts_tokens(cli: Cli, rows: Path, tmp_path: Path) -> None:
    model = make_model(rows, tmp_path / "model", 300, context=12)
    result = cli("data", "check", str(rows), "--model", str(model), "--json").json
    assert (result["template"], result["context"], result["too_long"]) == ("plain", 12, 0)
    first = result["examples"][0]
    assert first["text"].startswith("Who is Ada? A poet")
    assert first["prompt_tokens"] + first["answer_tokens"] <= result["tokens"]["maximum"]
    assert f"through the template plain of {model}" in cli("data", "check", str(rows), "--model", str(model)).out


def test_a_bad_file_is_one_line(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"prompt": "Q", "answer": ""}\n')
    result = cli("data", "check", str(file))
    assert (result.code, result.out) == (2, "")
    assert result.line == f"error: {file}:1: the answer is empty; fill it in, or remove the row"


def test_a_spreadsheet_export_says_how_it_is_read(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes("prompt;answer\nWer ist „Änne“?;5 µg\n".encode("cp1252"))
    result = cli("data", "check", file)
    assert f"{file} 1 semicolon, cp1252" in [" ".join(line.split()) for line in result.out.splitlines()]
    assert cli("data", "check", file, "--json").json["formats"] == {str(file): {"delimiter": ";", "encoding": "cp1252"}}
    wrong = cli("data", "check", file, "--encoding", "mac-roman", "--json").json["examples"][0]["text"]
    assert "Änne" not in wrong
    assert cli("data", "check", file, "--delimiter", "semikolon").line.startswith('error: delimiter: "semikolon" is no')
    assert "name the delimiter" in cli("data", "check", file, "--delimiter", "comma").line


def test_a_chat_is_shown_with_what_was_said_before(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "chat.jsonl"
    file.write_text(
        '{"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who?"},'
        ' {"role": "assistant", "content": "Ada"}]}\n'
    )
    result = cli("data", "check", file, "--json").json
    assert result["loader"]["name"] == "messages"
    assert result["examples"][0]["text"] == "Be brief.\nWho? Ada<end>"
    assert result["with_history"] == 1


def test_documents_are_counted_with_their_windows(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "letters"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.txt").write_text(f"Letter {name}: " + "Ada was a poet and a cook. " * 20)
    model = make_model(folder, tmp_path / "model", 300, context=64)
    result = cli("data", "check", folder, "--model", model)
    data = cli("data", "check", folder, "--model", model, "--json").json
    assert (data["documents"], data["kinds"]) == (2, {"document": 2})
    assert data["windows"] > 4
    assert data["too_long"] == 0
    assert [e["id"] for e in data["examples"]] == ["a.txt#1", "a.txt#2", "a.txt#3"]
    assert f"2 documents are read in {data['windows']} windows" in result.out
