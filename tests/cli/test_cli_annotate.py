"""`expunge concepts annotate`: texts and records in, marks, counts, JSON and a page out; wrong input in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from expunge.concepts.dictionary import Dictionary, DictionaryEntry
from helpers.cli import Cli

NOTE = "She denies chest pain.\nHer mother had breast\ncancer.\n\nPlan: appendectomy.\n\nNothing here.\n"


@pytest.fixture
def dictionary(tmp_path: Path) -> Path:
    path = tmp_path / "dictionary.tsv"
    Dictionary.of(
        [
            DictionaryEntry("chest pain", "X:1", "L2"),
            DictionaryEntry("breast cancer", "X:2", "L3"),
            DictionaryEntry("appendectomy", "X:3", "L4"),
            DictionaryEntry("plan", "X:4"),
        ]
    ).save(path)
    return path


@pytest.fixture
def note(tmp_path: Path) -> Path:
    path = tmp_path / "note.txt"
    path.write_text(NOTE)
    return path


def test_a_text_is_shown_with_marks_by_paragraph(cli: Cli, note: Path, dictionary: Path) -> None:
    shown = cli("concepts", "annotate", note, "--dictionary", dictionary)
    assert shown.code == 0
    lines = shown.out.splitlines()
    assert lines[1] == "line 1: She denies [L2 not:chest pain]."
    assert lines[2:4] == ["Her mother had [L3 family:breast", "cancer]."]
    assert lines[4] == "line 5: [-:Plan]: [L4:appendectomy]."
    assert lines[-1] == ("2 of 3 texts (66.7%) with a concept: 4 mentions of 4 concepts, 1 negated, 1 family")


def test_json_gives_spans_with_offsets_and_counts_of_all_texts(cli: Cli, note: Path, dictionary: Path) -> None:
    result = cli("concepts", "annotate", note, "--dictionary", dictionary, "--limit", 1, "--json").json
    assert (result["texts"], result["with_concept"], result["spans"], result["negated"]) == (3, 2, 4, 1)
    assert result["levels"] == {"L1": 0, "L2": 1, "L3": 1, "L4": 1, "no level": 1}
    (only,) = result["shown"]
    span = only["spans"][1]
    assert only["text"][span["start"] : span["end"]] == span["text"] == "breast\ncancer"
    assert (span["concepts"], span["level"], span["negated"], span["assertion"]) == (["X:2"], "L3", False, "family")


def test_negation_stays_within_the_prompt_or_answer_of_a_record(cli: Cli, tmp_path: Path, dictionary: Path) -> None:
    path = tmp_path / "records.jsonl"
    rows = [
        {"id": "a", "prompt": "Is there no", "answer": "chest pain"},
        {"id": "b", "prompt": "Why", "answer": "none"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = cli("concepts", "annotate", path, "--dictionary", dictionary, "--json").json
    assert [each["name"] for each in result["shown"]] == ["a", "b"]
    assert result["share"] == 0.5
    assert result["shown"][0]["text"] == "Is there no\n\nchest pain"
    assert result["negated"] == 0


def test_a_stop_file_and_a_page(cli: Cli, tmp_path: Path, note: Path, dictionary: Path) -> None:
    stop, page = tmp_path / "stop.txt", tmp_path / "out" / "page.html"
    stop.write_text("Plan\n")
    shown = cli("concepts", "annotate", note, "--dictionary", dictionary, "--stop", stop, "--html", page)
    assert "Plan: [L4:appendectomy]" in shown.out
    assert '<mark class="L4"' in page.read_text()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.txt", None, "there is no such file"),
        ("folder", "", "is a folder"),
        ("empty.txt", b" \n\n", "holds no text"),
        ("binary.dat", b"abc\0def", "binary file"),
        ("latin.txt", b"caf\xe9", "not UTF-8"),
        ("huge.txt", b"fever " * 1_700_000, "longer than 10,000,000 characters"),
        ("rows.jsonl", b"{", "rows.jsonl:1: not valid JSON"),
    ],
)
def test_what_cannot_be_read_is_one_line(
    cli: Cli, tmp_path: Path, dictionary: Path, name: str, content: bytes | str | None, message: str
) -> None:
    path = tmp_path / name
    if content == "":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    page = tmp_path / "page.html"
    result = cli("concepts", "annotate", path, "--dictionary", dictionary, "--html", page)
    assert (result.code, result.out) == (2, "")
    assert result.line.startswith(f"error: {path}")
    assert message in result.line
    assert not page.exists()


def test_an_empty_or_absent_dictionary_is_one_line(cli: Cli, tmp_path: Path, note: Path) -> None:
    path = tmp_path / "empty.tsv"
    path.write_text("name\tconcept\tlevel\n")
    assert "holds no names" in cli("concepts", "annotate", note, "--dictionary", path).line
    assert "no such dictionary" in cli("concepts", "annotate", note, "--dictionary", tmp_path / "no.tsv").line
    assert "is a folder" in cli("concepts", "annotate", note, "--dictionary", path, "--html", tmp_path).line
