"""Answers that need no torch; the words for help; completion of a shell."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from expunge.cli.early import check_words
from expunge.errors import InputError
from helpers.cli import Cli

COMMAND = ("unlearn", "--model", "m", "--out", "o")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--scope", "subject:S", "--recipe", "twinn"), 'recipe: there is no recipe "twinn"; did you mean "twin"?'),
        (("--scope", "subject:S and"), 'scope "subject:S and": nothing follows "and"'),
        (("--scope", "subject:S", "--set", "steps"), "--set steps: expected key=value"),
        (("--scope", "subject:S", "--data", "nothing.jsonl"), "nothing.jsonl: there is no such file or folder"),
    ],
)
def test_a_wrong_word_is_answered_without_torch(tmp_path: Path, words: tuple[str, ...], line: str) -> None:
    (tmp_path / "r.csv").write_text("prompt,answer,subject\na,b,S\n")
    data = () if "--data" in words else ("--data", "r.csv")
    code = f"import sys; from expunge.cli import main; main({[*COMMAND, *data, *words]}); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout == "False\n"
    assert done.stderr.startswith(f"error: {line}")


def test_only_the_first_process_prints_a_wrong_word(monkeypatch: pytest.MonkeyPatch) -> None:
    for rank, silent in (("0", False), ("1", True)):
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setenv("RANK", rank)
        with pytest.raises(InputError) as caught:
            check_words("unlearn", {"recipe": "twinn"})
        assert caught.value.silent is silent


def test_a_command_that_needs_no_torch_is_not_checked_early() -> None:
    check_words("check", {"data": Path("nothing"), "scope": "(("})
    check_words("unlearn", {"recipe": "auto", "set_": None, "scope": None, "data": None})


@pytest.mark.parametrize("words", [("-h",), ("data", "-h"), ("unlearn", "-h"), ("concepts", "build", "-h")])
def test_h_is_help(cli: Cli, words: tuple[str, ...]) -> None:
    result = cli(*words)
    assert result.code == 0
    assert "Usage: expunge" in result.out


def test_completion_can_be_installed_and_shown(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("typer.completion._get_shell_name", lambda: "bash")  # whatever shell runs the tests
    assert "--install-completion" in cli("--help").out
    assert "_EXPUNGE_COMPLETE=complete_bash" in cli("--show-completion", "bash").out


@pytest.mark.parametrize(
    ("typed", "word", "expected"),
    [("expunge unl", 1, "unlearn"), ("expunge data ide", 2, "identifiers"), ("expunge unlearn --rec", 2, "--recipe")],
)
def test_a_shell_gets_the_words_that_may_follow(typed: str, word: int, expected: str) -> None:
    asked = {"_EXPUNGE_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(word)}
    done = subprocess.run(
        [sys.executable, "-m", "expunge"], env={**os.environ, **asked}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [expected]
