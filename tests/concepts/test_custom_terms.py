"""Reader of custom terms: three formats, columns, levels by category, bad tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from expunge.concepts.dictionary import Dictionary, DictionaryEntry
from expunge.concepts.hierarchy import Hierarchy
from expunge.concepts.readers.custom_terms import read_custom_terms
from helpers.bad_tables import check_unreadable, error_text

FINANCE = Hierarchy.load("finance")


def read(tmp_path: Path, file: str, text: str, **more: str) -> Dictionary:
    path = tmp_path / file
    path.write_text(text)
    return read_custom_terms(path, FINANCE, **more)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("terms.csv", 'term,id,desk\n"black, list",F:1,Compliance\nBond note,F:2,securities\nother,F:3,garden\n'),
        ("terms.tsv", "term\tid\tdesk\nblack, list\tF:1\tCompliance\nBond note\tF:2\tsecurities\nother\tF:3\tgarden\n"),
        (
            "terms.jsonl",
            '{"term": "black, list", "id": "F:1", "desk": ["general", "Compliance"]}\n'
            '{"term": "Bond note", "id": "F:2", "desk": "securities"}\n'
            '{"term": "other", "id": "F:3", "desk": "garden"}\n',
        ),
    ],
)
def test_every_format_gives_names_ids_and_levels(tmp_path: Path, name: str, text: str) -> None:
    result = read(tmp_path, name, text, name="term", concept="id", category="desk")
    assert result.entries == (
        DictionaryEntry("black, list", "F:1", "L4"),
        DictionaryEntry("Bond note", "F:2", "L3"),
        DictionaryEntry("other", "F:3", None),
    )


def test_ids_are_made_of_the_names_and_names_may_have_a_level_themselves(tmp_path: Path) -> None:
    result = read(tmp_path, "My terms.csv", "name\nInsider List\nSome Thing\n")
    assert result.entries == (
        DictionaryEntry("Insider List", "my-terms:insider-list", "L4"),
        DictionaryEntry("Some Thing", "my-terms:some-thing", None),
    )


def test_a_list_of_names_is_one_concept(tmp_path: Path) -> None:
    text = '{"name": ["sanction list", "blocked  parties"], "c": "compliance"}\n'
    result = read(tmp_path, "t.jsonl", text, category="c")
    assert result.entries == (
        DictionaryEntry("sanction list", "t:sanction-list", "L4"),
        DictionaryEntry("blocked parties", "t:sanction-list", "L4"),
    )


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("t.csv", "term\nx\n", 't.csv:2: no value for "name"; name another column, or fill it in; known: term'),
        ("t.csv", "name,c\nx,y\n,z\n", 't.csv:3: no value for "name"'),
        ("t.csv", "name,c\nx\n", "t.csv:2: has 1 field, the header has 2"),
        ("t.csv", "name\nx\ny\nx\n", 't.csv:4: "x = t:x" stands twice; first at '),
        ("t.csv", "name\n", "t.csv: holds no rows"),
        ("t.tsv", "name\tc\nx\n", "t.tsv:2: has 1 column, the header has 2"),
        ("t.tsv", "name\tc\n\ty\n", 't.tsv:2: no value for "name"'),
        ("t.jsonl", '{"name": "x"\n', "t.jsonl:1: not valid JSON"),
        ("t.jsonl", '["x"]\n', "t.jsonl:1: a JSON object was expected"),
        ("t.jsonl", '{"name": 3}\n', 't.jsonl:1: "name" is 3; give a text, or in JSON a list of texts'),
        ("t.jsonl", '{"name": []}\n', 't.jsonl:1: "name" is []'),
        ("t.jsonl", '{"name": [" "]}\n', "t.jsonl:1: \"name\" is [' ']"),
        ("t.xlsx", "x", 't.xlsx: the ending ".xlsx" is unknown; give .tsv, .tab, .csv'),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, name: str, text: str, line: str) -> None:
    assert error_text(read_custom_terms, tmp_path / name, text).startswith(line)


def test_several_ids_in_one_row_are_refused(tmp_path: Path) -> None:
    line = error_text(
        lambda path: read_custom_terms(path, concept="id"), tmp_path / "t.jsonl", '{"name": "x", "id": ["a", "b"]}'
    )
    assert line == 't.jsonl:1: "id" holds 2 ids; give one id per row'


@pytest.mark.parametrize(("name", "first"), [("t.csv", "name"), ("t.tsv", "name"), ("t.jsonl", '{"name": "x"}')])
def test_what_is_no_table_is_refused(tmp_path: Path, name: str, first: str) -> None:
    check_unreadable(read_custom_terms, tmp_path / name, "holds no rows", first)
