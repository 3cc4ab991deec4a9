"""Answers: strict JSON for machines, uncut tables for people, progress that says how long it still takes."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from expunge.cli import progress
from expunge.cli.progress import Progress, left
from expunge.cli.result import CommandResult, ResultTable, cell


def test_json_is_strict_ascii_and_null_for_what_does_not_exist() -> None:
    text = CommandResult({"a": float("nan"), "b": [float("inf"), 1.5], "c": Path("x/y"), 3: "Zoë"}).as_json()
    assert json.loads(text) == {"a": None, "b": [None, 1.5], "c": "x/y", "3": "Zoë"}
    assert text.isascii()


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (float("nan"), "–"), (True, "yes"), (False, "no"), (0.12345, "0.123"), (12345, "12,345"), ("a", "a")],
)
def test_a_cell_is_written_for_people(value: object, shown: str) -> None:
    assert cell(value) == shown


def test_a_table_in_a_pipe_is_not_cut_and_brackets_are_no_markup() -> None:
    stream = io.StringIO()
    CommandResult(
        {}, (ResultTable(("prompt", "n"), [("x" * 100 + " [blank]", 1), ("[bold]b", 1234)]), "and [red]so")
    ).show(stream)
    lines = [line.rstrip() for line in stream.getvalue().splitlines()]
    assert lines[1] == "x" * 100 + " [blank]       1"
    assert lines[2].startswith("[bold]b ")
    assert lines[2].endswith(" 1,234")
    assert lines[3] == "and [red]so"


@pytest.mark.parametrize(
    ("elapsed", "done", "rest", "message"),
    [
        (10.0, 0.5, 0.5, "about 10 s left"),
        (60.0, 0.25, 0.75, "about 3 min 00 s left"),
        (5.0, 0.0, 1.0, ""),
        (5.0, 0.005, 0.995, ""),
        (5.0, 1.0, 0.0, ""),
    ],
)
def test_the_time_left_follows_from_the_pace(elapsed: float, done: float, rest: float, message: str) -> None:
    assert left(elapsed, done, rest) == message


def test_a_log_file_gets_a_line_now_and_then_and_one_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    stream = io.StringIO()
    with Progress(stream).bar("work") as tick:
        for step in range(1, 11):
            now[0] += 2.0
            tick(step / 10, f"step {step}")
    assert stream.getvalue().splitlines() == [
        "work:  10%, step 1",
        "work:  40%, step 4, about 12 s left",
        "work:  70%, step 7, about 6 s left",
        "work: 100%, step 10",
    ]


def test_work_that_ends_early_is_shown_as_done() -> None:
    stream = io.StringIO()
    with Progress(stream).bar("work") as tick:
        tick(0.5, "step 5")
    with Progress(stream).bar("nothing to do"):
        pass

    def stopped() -> None:
        with Progress(stream).bar("stopped") as tick:
            tick(0.5, "step 5")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert stream.getvalue().splitlines() == ["work:  50%, step 5", "work: 100%, step 5", "stopped:  50%, step 5"]


def test_a_terminal_gets_a_bar_on_the_stream_it_was_given(capsys: pytest.CaptureFixture[str]) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    with Progress(stream).bar("work") as tick:
        print('{"on": "stdout"}')
        tick(0.5, "step [1]")
        tick(1.0, "step [2]")
    assert "work" in stream.getvalue()
    assert "100 %" in stream.getvalue()
    assert "step [2]" in stream.getvalue()
    assert capsys.readouterr() == ('{"on": "stdout"}\n', "")
