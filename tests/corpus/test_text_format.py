"""Delimiters and encodings: detected, told, overridden; and values that are no texts."""

from __future__ import annotations

import codecs
import json
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.corpus import load_corpus
from expunge.corpus.loaders import TextFormat, load_source
from expunge.corpus.loaders.text_format import detect_delimiter, detect_encoding
from expunge.errors import InputError, InputWarning

ROW = "id{0}prompt{0}answer\r\n1{0}Wer ist „Änne“?{0}5 µg\r\n"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_a_table_is_read_however_it_is_written(tmp_path: Path, delimiter: str, encoding: str) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes(ROW.format(delimiter).encode(encoding))
    source = load_source(file)
    assert [(r.id, r.prompt, r.answer) for r in source.corpus] == [("1", "Wer ist „Änne“?", "5 µg")]
    assert source.formats == {str(file): TextFormat(delimiter, encoding.removesuffix("-sig"))}


def test_what_is_detected_can_be_overridden(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes("prompt#answer\nÄ;B#Ü,C\n".encode("iso-8859-15"))
    form = TextFormat.of("#", "iso-8859-15")
    assert load_corpus(file, text_format=form)[0].answer == "Ü,C"
    (tmp_path / "map.yaml").write_text("delimiter: '#'\nencoding: mac-roman\n")
    assert load_corpus(file, mapping=tmp_path / "map.yaml")[0].prompt == b"\xc4;B".decode("mac-roman")


@pytest.mark.parametrize(
    ("delimiter", "encoding", "part"),
    [
        ("semikolon", None, 'delimiter: "semikolon" is no delimiter; did you mean "semicolon"?'),
        ('"', None, "is no delimiter"),
        (None, "utf8000", 'encoding: unknown encoding "utf8000"; did you mean "utf-8"?'),
        (None, "base64", 'unknown encoding "base64"'),
    ],
)
def test_an_unknown_format_is_one_line(delimiter: str | None, encoding: str | None, part: str) -> None:
    with pytest.raises(InputError) as caught:
        TextFormat.of(delimiter, encoding)
    assert part in str(caught.value)


def test_names_of_delimiters_are_understood() -> None:
    assert TextFormat.of("tab") == TextFormat.of("\\t") == TextFormat.of("\t")
    assert str(TextFormat.of("Semicolon", "cp1252")) == "semicolon, cp1252"


def test_a_layout_with_a_format_of_its_own_takes_no_other(tmp_path: Path) -> None:
    file = tmp_path / "forget.jsonl"
    file.write_text('{"id": "d1sc1", "input": "Q", "output": "A", "task": "Task1"}\n')
    with pytest.raises(InputError, match="fixed text format; leave delimiter and encoding out"):
        load_corpus(file, text_format=TextFormat(";"))


def test_bytes_of_no_encoding_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"prompt,answer\n\x81\x8d,x\xff\n")
    with pytest.raises(InputError, match="neither UTF-8 nor Windows-1252; name its encoding with --encoding"):
        load_corpus(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_bytes(codecs.BOM_UTF16_LE + b"p\0r\0o\0m\0p\0t\0\0\xd8")
    with pytest.raises(InputError, match="not utf-16; name another encoding"):
        load_corpus(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_bytes(b"prompt,answer\n\0\0\0,x\n")
    with pytest.raises(InputError, match="holds NUL bytes, so this is a binary file"):
        load_corpus(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("prompt,answer\nA;B,C;D\n", ","),
        ("a;b,c\n1;2\n4;5\n", ";"),
        ("prompt;answer\n1,5;2,5\n", ";"),
        ("one column\nx, y\n", ","),
        ('"a;b"|"c;d"\n1|2\n', "|"),
    ],
)
def test_the_header_decides(text: str, expected: str) -> None:
    assert detect_delimiter(lambda: text.splitlines(keepends=True), frozenset({"prompt", "answer"})) == expected


def test_a_line_for_excel_names_the_separator(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("sep=|\r\nprompt|answer\r\na,b|c\r\nd|\r\n")
    with pytest.raises(InputError, match=r"t\.csv:4: the answer is empty"):
        load_corpus(tmp_path / "t.csv")


def test_empty_columns_and_lines_of_spreadsheets_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("prompt;answer;note;;\nA;B;;;\n;;;;\n")
    assert [dict(r.attributes) for r in load_corpus(tmp_path / "t.csv")] == [{}]
    (tmp_path / "t.csv").write_text("prompt;answer;note;;\nA;B;;;x\n")
    with pytest.raises(InputError, match=r't\.csv:1: column name "" is empty'):
        load_corpus(tmp_path / "t.csv")


def test_a_wrong_delimiter_is_suspected(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("Frage;Antwort\nA;B\n")
    with pytest.raises(InputError, match=r"the header is one column \(Frage;Antwort\); name the delimiter"):
        load_corpus(tmp_path / "t.csv", text_format=TextFormat(","))


@pytest.mark.parametrize("name", ["t.xlsx", "t.XLS", "t.ods"])
def test_a_spreadsheet_is_to_be_saved_as_csv(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(InputError, match="is a spreadsheet; save it as CSV"):
        load_corpus(tmp_path / name)


@given(st.text(min_size=1))
def test_utf8_is_always_recognized(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.mktemp("text") / "t"
    file.write_text("prompt: " + text.replace("\0", ""), "utf-8")
    assert detect_encoding(file) == "utf-8"


def test_values_that_are_no_texts_become_texts(tmp_path: Path) -> None:
    values = [5, 5.0, 0.1, 1e20, True, -3]
    rows = [json.dumps({"prompt": f"Q{k}", "answer": value}) for k, value in enumerate(values)]
    (tmp_path / "t.jsonl").write_text("\n".join(rows))
    assert [r.answer for r in load_corpus(tmp_path / "t.jsonl")] == ["5", "5", "0.1", "1e+20", "true", "-3"]


def test_a_list_may_be_plain_text(tmp_path: Path) -> None:
    text = 'prompt,answer,identifiers,options,variants\nAda Byron?,x,Ada Byron; Ada,x; y,"One?\nTwo?"\n'
    (tmp_path / "t.csv").write_text(text)
    with warnings.catch_warnings():
        warnings.simplefilter("error", InputWarning)
        record = load_corpus(tmp_path / "t.csv")[0]
    assert record.identifiers == ("Ada Byron", "Ada")
    assert record.options == ("x", "y")
    assert [v.prompt for v in record.variants] == ["One?", "Two?"]


def test_identifiers_that_stand_nowhere_are_told(tmp_path: Path) -> None:
    rows = [
        {"prompt": "Wer ist Mu\u0308ller?", "answer": "a", "identifiers": ["M\u00fcller"]},
        {"prompt": "Wer ist er?", "answer": "b", "identifiers": ["Meier"]},
        {"prompt": "Wer?", "answer": "c", "identifiers": ["Huber"], "history": [{"role": "user", "content": "Huber"}]},
        {"text": "Ein Brief von Kant.", "identifiers": ["Kant"]},
    ]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.warns(InputWarning) as told:
        corpus = load_corpus(tmp_path / "t.jsonl")
    assert [str(w.message).partition(": ")[2] for w in told] == [
        "in 1 of 4 records with identifiers, none of them stands in the prompt and 1 identifier stands in no prompt of "
        f"the subject (first: {tmp_path}/t.jsonl:2); "
        "check that they are written as in the prompts"
    ]
    assert corpus[0].identifiers == ("Mu\u0308ller",)


def test_an_array_that_breaks_off_is_named(tmp_path: Path) -> None:
    for text, part in (
        ('[\n{"prompt": "A", "answer": "B"}\n{"prompt": ', "t.json:2: not valid JSON (no comma"),
        ('[\n{"prompt": "A", "answer": "B"},\n{"prompt": ', "t.json:3: not valid JSON"),
        ('[{"prompt": "A", "answer": "B"}] x', "holds more than one JSON array"),
        ("[1]", "t.json:1: a JSON object was expected, found int"),
        ("[]", "holds no rows"),
        ('[{"prompt": NaN}]', "NaN is not a JSON value"),
    ):
        (tmp_path / "t.json").write_text(text)
        with pytest.raises(InputError) as caught:
            load_corpus(tmp_path / "t.json")
        assert part in str(caught.value)


def test_json_takes_another_encoding_but_no_delimiter(tmp_path: Path) -> None:
    file, text = tmp_path / "t.jsonl", '{"prompt": "Ä?", "answer": "Ü"}\r\n'
    file.write_bytes(text.encode("utf-16"))
    assert load_corpus(file)[0].answer == "Ü"
    file.write_bytes(f"[{text}]".encode("cp1252"))
    assert load_corpus(file, text_format=TextFormat(encoding="cp1252"))[0].answer == "Ü"
    with pytest.raises(InputError, match="not UTF-8"):
        load_corpus(file)
    with pytest.raises(InputError, match="has no delimiter to choose"):
        load_corpus(file, text_format=TextFormat(";"))
