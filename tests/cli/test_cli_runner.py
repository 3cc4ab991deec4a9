"""The shell around every command: exit codes, one line per error, one object per --json, quick start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from expunge.cli import main
from expunge.cli.app import app
from expunge.errors import RunFailed
from helpers.cli import Cli

HEAVY = ("torch", "transformers", "scipy", "pyarrow", "datasets", "peft", "matplotlib")


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
    for name, child in (inner or {}).items():
        yield from commands(child, (*path, name))


@pytest.mark.parametrize("module", ["expunge", "expunge.cli", "expunge.cli.app"])
def test_importing_is_quick_and_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, time; import {module}; print([m for m in {HEAVY} if m in sys.modules], time.process_time())"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    heavy, seconds = result.rsplit(" ", 1)
    assert heavy == "[]"
    assert float(seconds) < (0.5 if module == "expunge" else 1.0)


def test_every_command_offers_json_and_debug() -> None:
    result = dict(commands(typer.main.get_command(app)))
    assert {("demo",), ("unlearn",), ("data", "identifiers"), ("bench", "run")} <= set(result)
    for path, command in result.items():
        options = {flag for parameter in command.params for flag in parameter.opts}
        assert {"--json", "--debug"} <= options, path


def test_every_command_that_splits_records_offers_near_duplicates() -> None:
    for path, command in commands(typer.main.get_command(app)):
        options = {flag for parameter in command.params for flag in parameter.opts}
        if "--scope" in options and path not in {("data", "check"), ("export",), ("verify",)}:  # follow a run, or tell
            assert "--near-duplicates" in options, path


def test_help_and_version_succeed(cli: Cli) -> None:
    assert cli("--version").out == "expunge 0.1.0\n"
    for words in (("--help",), ()):
        result = cli(*words)
        assert result.code == 0
        assert "unlearn" in result.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("unlern",), "No such command 'unlern'"),
        (("unlearn",), "expunge unlearn: Missing option '--data'; see expunge unlearn --help"),
        (("demo", "--sed", "3"), "No such option: --sed"),
        (("demo", "--seed", "x"), "expunge demo: Invalid value for '--seed': must be a whole number, found \"x\";"),
        (
            ("unlearn", "--near-duplicates", "tke"),
            "'--near-duplicates': 'tke' is not one of 'take', 'report', 'ignore';",
        ),
        (("unlearn", "--say", "lie"), "'--say': 'lie' is not one of 'stranger', 'refuse';"),
        (("tune", "--stand-ins", "0"), "'--stand-ins': must be at least 1, found \"0\";"),
        (("list", "metods"), 'expunge list: unknown kind "metods"; did you mean "methods"?'),
        (("report", "nowhere", "--out", "x.html"), "nowhere: there is no such file"),
        (("bench", "run", "lume", "--seeds", "a,b"), '--seeds: "a,b" is not a list of numbers'),
        (("data", "identifiers", "nothing.jsonl"), "nothing.jsonl: there is no such file or folder"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(cli: Cli, words: tuple[str, ...], message: str) -> None:
    result = cli(*words)
    assert result.code == 2
    assert result.out == ""
    assert message in result.line


def test_an_error_under_json_is_one_object_too(cli: Cli) -> None:
    result = cli("list", "metods", "--json")
    assert result.code == result.json["exit_code"] == 2
    assert result.json["error"]["what"] == 'unknown kind "metods"'
    assert result.json["error"]["hint"].startswith('did you mean "methods"?')
    assert result.line.startswith("error: expunge list: unknown kind")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (
            ZeroDivisionError("division\nby zero"),
            1,
            "error: unexpected error: ZeroDivisionError: division by zero; run again with --debug",
        ),
        (RunFailed("step 3", "the gradient is no longer finite"), 1, "error: step 3: the gradient is no longer finite"),
        (
            KeyboardInterrupt(),
            2,
            "error: stopped: by Ctrl-C; start the same command again; whatever is finished is not repeated",
        ),
    ],
)
def test_an_exception_becomes_one_line(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, message: str
) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr("expunge.cli.list_registry.KINDS", {"methods": broken})
    result = cli("list", "methods")
    assert (result.code, result.out, result.line) == (code, "", message)


def test_debug_shows_the_traceback(cli: Cli) -> None:
    result = cli("list", "metods", "--debug")
    assert result.code == 2
    assert result.err.startswith("Traceback (most recent call last):")
    assert result.err.splitlines()[-1].startswith("error: expunge list: unknown kind")


def test_what_a_library_prints_does_not_reach_the_stdout_of_json(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def chatty() -> list[dict[str, Any]]:
        print("hello from a library")
        return [{"name": "a"}]

    monkeypatch.setattr("expunge.cli.list_registry.KINDS", {"methods": chatty})
    result = cli("list", "methods", "--json")
    assert result.json == {"kind": "methods", "items": [{"name": "a"}]}
    assert result.err == "hello from a library\n"


def test_a_reader_that_has_gone_ends_the_command_quietly() -> None:
    read, write = os.pipe()
    os.close(read)
    code = "import sys; from expunge.cli import main; sys.exit(main(['list', 'loaders', '--json']))"
    done = subprocess.run([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("kind", ["methods", "metrics", "loaders", "recipes", "rules", "worlds", "checks"])
def test_list_shows_every_kind(cli: Cli, kind: str) -> None:
    names = [item["name"] for item in cli("list", kind, "--json").json["items"]]
    known = {
        "methods": "npo",
        "metrics": "exact_match",
        "loaders": "jsonl",
        "recipes": "twin",
        "rules": "project",
        "worlds": "hospital",
        "checks": "leakage",
    }
    assert known[kind] in names
    assert known[kind] in cli("list", kind).out


def test_main_returns_the_code_and_never_exits(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "rules", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "rules"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("memorise", "--data", "x"), "expunge: No such command 'memorise'; use expunge train"),
        (("world", "hospital"), "expunge: No such command 'world'; use expunge data generate"),
        (("train", "--scope-out", "x"), "expunge train: No such option: --scope-out; use --exclude-scope"),
        (("train", "--share", "1"), "expunge train: No such option: --share; use --target-accuracy"),
        (
            ("data", "generate", "hospital", "--twins-for", "x"),
            "expunge data generate: No such option: --twins-for; use --controls-for",
        ),
        (("bench", "run", "lume", "--rows", "npo"), "expunge bench run: No such option: --rows; use --arms"),
    ],
)
def test_an_old_word_is_refused_with_the_new_one(cli: Cli, words: tuple[str, ...], line: str) -> None:
    result = cli(*words)
    assert (result.code, result.out, result.line) == (2, "", f"error: {line}")


def test_a_value_that_was_once_a_command_is_not_taken_for_one(cli: Cli) -> None:
    assert cli("demo", "--seed", "plan").line.endswith("; see expunge demo --help")
    assert "use expunge" not in cli("list", "world").line
