"""The command lines of the speed programs: help, JSON, errors in one line."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.speed import annotator, estimate_accuracy, memory, private_step, scaling, scoring_speed, step
from benchmarks.speed.cases import compare_times, run_cases, spread
from benchmarks.speed.program import Parts, Results, positive, program
from expunge.cli.result import ResultTable
from expunge.errors import InputError, RunFailed

PROGRAMS = ("annotator", "estimate_accuracy", "memory", "private_step", "scaling", "scoring_speed", "step")
RATIO = {"min": 1.0, "median": 1.5, "max": 2.0}


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_says_what_is_measured(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = importlib.import_module(f"benchmarks.speed.{name}")
    with pytest.raises(SystemExit) as end:
        module.main(["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert module.__doc__.splitlines()[0] in text
    assert "--json" in text


def as_table(result: Results) -> Parts:
    return (ResultTable(("case", "ratio"), [["npo", result["ratio"]]]),)


def test_a_result_is_a_table_or_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    def measure(count: int) -> Results:
        print("a library writes to stdout")
        return {"ratio": 2.0 * count}

    main = program("About.", measure, as_table, count={"type": positive, "default": 1})
    assert main([]) == 0
    captured = capsys.readouterr()
    assert captured.out.split() == ["case", "ratio", "npo", "2.000"]
    assert captured.err == "a library writes to stdout\n"
    assert main(["--json", "--count", "3"]) == 0
    assert json.loads(capsys.readouterr().out) == {"ratio": 6.0}


@pytest.mark.parametrize(("error", "code"), [(InputError("file", "is missing"), 2), (RunFailed("run", "failed"), 1)])
def test_an_error_is_one_line(error: InputError, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    def measure() -> Results:
        raise error

    assert program(None, measure, as_table)([]) == code
    assert capsys.readouterr().err == f"error: {error}\n"


def test_a_count_is_at_least_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert positive("3") == 3
    with pytest.raises(SystemExit):
        step.main(["--pairs", "0"])
    assert "invalid positive value: '0'" in capsys.readouterr().err


class CountingCase(step.StepCase):
    def run(self, pairs: int, say: Callable[[str], None]) -> Results:
        return {"pairs": pairs}


def test_cases_are_selected_by_name() -> None:
    cases = [CountingCase(group, "npo", step.model_config(2), 1) for group in ("a", "b")]
    assert run_cases(cases, 3, "", print) == {"a": {"2/1": {"pairs": 3}}, "b": {"2/1": {"pairs": 3}}}
    assert list(run_cases(cases, 3, " b:2/1 ,", print)) == ["b"]
    with pytest.raises(InputError, match="npo:24/4"):
        run_cases(step.CASES, 1, "npo:24/5", print)


def test_ratios_and_medians_by_hand() -> None:
    assert spread([3.0, 1.0, 2.0, 10.0]) == {"min": 1.0, "median": 2.5, "max": 10.0}
    assert compare_times({"plain": [4.0, 9.0, 8.0], "ours": [2.0, 3.0, 2.0]}) == {
        "ratio": {"min": 2.0, "median": 3.0, "max": 4.0},
        "seconds": {"plain": 8.0, "ours": 2.0},
    }


@pytest.mark.parametrize(
    ("module", "result", "row"),
    [
        (
            step,
            {"npo": {"28/4": {"ratio": RATIO, "ceiling": 5.75, "operations": 5.5, "seconds": {"plain": 2, "ours": 1}}}},
            "npo 28/4 1.000 1.500 2.000 5.750 5.500 2 1",
        ),
        (
            private_step,
            {"npo": {"8/4": {"ratio": RATIO, "seconds": {"private": 0.2, "plain": 0.1}}}},
            "npo 8/4 1.000 1.500 2.000 0.200 0.100",
        ),
        (
            scoring_speed,
            {"options": {"2048": {"ratio": RATIO, "seconds": {"plain": 4.0, "ours": 2.0}}}},
            "2,048 1.000 1.500 2.000 4.000 2.000",
        ),
        (
            memory,
            {"phases": {"load": {"records": 2000, "seconds": 0.5, "peak": 3 << 20, "now": 2 << 20}}},
            "load 2,000 0.500 3.000 2.000",
        ),
        (
            estimate_accuracy,
            {
                "cases": {
                    "npo": {key: {"estimated": 3, "real": 2, "ratio": 1.5} for key in ("seconds", "steps", "memory")}
                }
            },
            "npo 3.000 2.000 3.000 2.000 0.000 0.000 1.500 1.500 1.500",
        ),
    ],
)
def test_tables_have_a_row_per_case(module: Any, result: Results, row: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert program(None, lambda: result, module.parts)([]) == 0
    assert row in [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_the_annotator_names_missing_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert annotator.main(["--data", str(tmp_path)]) == 2
    assert "medquad_subset.jsonl: there is no such file" in capsys.readouterr().err


def test_slopes_are_printed_and_results_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = {axis: {"1": dict.fromkeys(FIGURES, 2.0), "10": dict.fromkeys(FIGURES, 20.0)} for axis in AXES}
    monkeypatch.setattr(scaling, "measure", lambda work: {"figures": figures})
    assert scaling.main(["--results", str(tmp_path)]) == 0
    assert "Time of a step against layers: step, cached 1.00; step, plain 1.00" in capsys.readouterr().out
    assert json.loads((tmp_path / "scaling.json").read_text()) == {"figures": figures}


AXES = ("layers", "answer", "records")
FIGURES = ("cached", "plain", "cached_memory", "plain_memory", "load", "rows", "cache", "loaded", "memory")
