"""What a library throws, and what a file says, on its way to the terminal: one short line that obeys nobody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from expunge._printable import abbreviate, clip, visible
from expunge.errors import InputError, InputWarning, nearest
from helpers.cli import Cli

EVIL = "\x1b]0;all passed\x07\x1b[2J\x9b31m\u202e\u2066\ufeff\U000e0041\u2028\x00\ud800\x7f"


class PanicException(BaseException):
    """As pyo3 raises it."""

    __module__ = "pyo3_runtime"


def raised_in(library: str, statement: str) -> Any:
    """A function of a module with this name."""
    names: dict[str, Any] = {"__name__": library, "Panic": PanicException}
    exec(compile(f"def call():\n    {statement}\n", f"{library}.py", "exec"), names)
    return names["call"]


@pytest.mark.parametrize(
    ("function", "code", "message"),
    [
        (
            raised_in("transformers.models.llama", "{}['key']"),
            2,
            "error: the model: KeyError in the library transformers (KeyError: 'key'); use another model or version; "
            "--debug shows where",
        ),
        (
            raised_in("tokenizers", "raise Panic('no such group')"),
            2,
            "error: the model: PanicException in the library tokenizers (no such group); use another model or version; "
            "--debug shows where",
        ),
        (
            raised_in("peft.tuners", "import no_such_package"),
            2,
            "error: the model: ModuleNotFoundError in the library peft (No module named 'no_such_package'); "
            "install the package no_such_package",
        ),
        (
            raised_in("elsewhere", "open('/no/such/file')"),
            2,
            "error: /no/such/file: No such file or directory; check the path, the disk and its permissions",
        ),
        (
            raised_in("elsewhere", "raise Panic('x')"),
            1,
            "error: unexpected error: PanicException: x; run again with --debug",
        ),
    ],
)
def test_what_a_library_throws_is_one_line(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, function: Any, code: int, message: str
) -> None:
    monkeypatch.setattr("expunge.cli.list_registry.KINDS", {"methods": function})
    result = cli("list", "methods")
    assert (result.code, result.out, result.line) == (code, "", message)


def is_harmless(text: str) -> bool:
    return text == visible(text)


def test_no_control_sequence_of_a_record_reaches_the_terminal(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    text = EVIL.replace("\x00", "").replace("\ud800", "")
    row = {"id": text, "prompt": text, "answer": text, "subject": text, "path": f"patient:{text}", "more": text}
    path.write_text(2 * (json.dumps(row) + "\n"))
    for words in (("data", "check", path), ("data", "check", path, "--debug")):
        result = cli(*words)
        assert result.code == 2
        assert "duplicate id" in result.err
        assert is_harmless(result.err)
    path.write_text(json.dumps(row) + "\n")
    result = cli("data", "check", path)
    assert is_harmless(result.out + result.err)
    assert "all passed" in result.out


@pytest.mark.parametrize("field", ["id", "prompt", "answer", "subject", "more"])
@pytest.mark.parametrize("bad", ["a\0b", "a\ud800b"])
def test_nul_and_half_surrogate_pairs_are_errors_of_the_input(cli: Cli, tmp_path: Path, field: str, bad: str) -> None:
    path = tmp_path / "records.jsonl"
    row = {"id": "r", "prompt": "p", "answer": "a", "subject": "s"} | {field: bad}
    path.write_text(json.dumps({"id": "q", "prompt": "p", "answer": "a"}) + "\n" + json.dumps(row) + "\n")
    result = cli("data", "check", path)
    assert result.code == 2
    assert result.line.startswith(f'error: {path}:2: "{field}" holds')


def test_a_warning_and_an_error_are_short_and_visible() -> None:
    long = "x" * 10_000_000
    for text in (str(InputError(long, long, long)), str(InputWarning(long)), nearest(long, [long, "y" * 10**6])):
        assert len(text) < 5000
    for line in (str(InputError(EVIL, EVIL, EVIL)), str(InputWarning(EVIL))):
        assert is_harmless(line)


def test_visible_keeps_the_length_and_what_can_be_read() -> None:
    assert visible("a\x1b[31m\nb\x7f\u2066c\u200e\U000e0041") == "a␛[31m\nb␡\ufffdc\ufffd\ufffd"
    assert visible("Müller, 山田, فاطمة, 👩\u200d⚕️\t") == "Müller, 山田, فاطمة, 👩\u200d⚕️\t"
    assert len(visible(EVIL)) == len(EVIL)


def test_clip_shows_both_ends() -> None:
    assert clip("0123456789", 7) == "0123…89"
    assert clip("0123456789", 10) == "0123456789"


def test_a_value_in_a_message_is_short_whatever_it_holds() -> None:
    bomb: Any = ["x"] * 9
    for _ in range(40):
        bomb = [bomb] * 9
    assert len(abbreviate(bomb)) < 200
    assert len(abbreviate({"a" * 10**6: "b" * 10**6})) < 200
    assert abbreviate(10**4000) == "a number of 13,288 bits"
    assert abbreviate(["a", 1]) == "['a', 1]"
