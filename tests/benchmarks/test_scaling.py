"""Slopes worked by hand, and one run at toy sizes: results, page, plots, resuming. Times are not judged."""

from __future__ import annotations

import math
import os
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from benchmarks.speed import scaling
from benchmarks.speed.loglog import Line, LogLogPlot, draw, fit_power, format_slope, ticks
from benchmarks.speed.scaling import ScalingSizes, measure, measurements, time_steps
from benchmarks.speed.scaling_page import format_number, medians, plots, write_page
from benchmarks.speed.subprocesses import isolated
from expunge._io import write_json
from expunge.errors import InputError, RunFailed

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="resident memory is read from /proc"),
]
TOY = ScalingSizes(
    layers=(2, 3),
    answers=(2, 4),
    records=(100, 200),
    width=32,
    blocks=1,
    row=(6, 2),
    prompt=4,
    depth=2,
    rounds=1,
    steps=2,
    corpus_steps=3,
)
SVG = "{http://www.w3.org/2000/svg}"
ROOT = Path(__file__).resolve().parents[2]


def test_a_slope_is_the_power_of_the_curve() -> None:
    assert fit_power((1, 10, 100), (3, 30, 300)) == pytest.approx(1)
    assert fit_power((2, 4, 8), (5, 5, 5)) == pytest.approx(0)
    assert fit_power((1, 2, 4), (1, 4, 16)) == pytest.approx(2)
    assert fit_power((1, math.e, math.e**2), (1, math.e**2, math.e)) == pytest.approx(0.5)


@pytest.mark.parametrize(("x", "y"), [((1, 2), (1, 0)), ((0, 2), (1, 1)), ((3, 3), (1, 2))])
def test_a_slope_needs_two_places_and_values_above_zero(x: tuple[float, ...], y: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="two different places"):
        fit_power(x, y)


def test_the_last_slope_is_that_of_the_last_two_points() -> None:
    bent = Line("bent", (1, 10, 100), (1, 1, 10))
    assert (bent.slope, bent.last_slope) == pytest.approx((0.5, 1))


def test_numbers_have_three_digits_and_slopes_two_decimals() -> None:
    assert [format_number(v) for v in (12345.6, 98.76, 9.876, 7.0, 0.01234)] == [
        "12,346",
        "98.8",
        "9.88",
        "7",
        "0.0123",
    ]
    assert [format_slope(v) for v in (0.456, -0.456, -0.001)] == ["0.46", "−0.46", "0.00"]


def test_ticks_are_round_and_few() -> None:
    assert ticks(0.9, 11) == pytest.approx([1, 2, 3, 5, 7, 10])
    assert ticks(0.9, 60) == pytest.approx([1, 2, 5, 10, 20, 50])
    assert ticks(0.9, 2000) == pytest.approx([1, 10, 100, 1000])


def test_a_plot_is_the_same_each_time_and_shows_its_slopes() -> None:
    lines = (Line("a", (1, 10), (1, 10)), Line("b < c", (1, 10), (2, 2)))
    svg = draw(LogLogPlot("k", "Title", "layers", "seconds", lines))
    assert svg == draw(LogLogPlot("k", "Title", "layers", "seconds", lines))
    words = {"".join(t.itertext()).strip() for t in ElementTree.fromstring(svg).iter(f"{SVG}text")}
    assert {"Title", "layers", "seconds", "a: slope 1.00", "b < c: slope 0.00"} <= words


def test_figures_are_medians_over_steps_and_rounds() -> None:
    rounds = [
        {"seconds": [1.0, 2.0, 9.0], "memory": 2**20, "busy": 1.0},
        {"seconds": [3.0, 3.0, 4.0], "memory": 3 * 2**20, "busy": 1.0},
    ]
    figures = medians([("layers", 8, "plain", result) for result in rounds])
    assert figures == {"layers": {"8": {"plain": 3.0, "plain_memory": 2.0, "spread": pytest.approx(0.4)}}}


def test_every_point_is_visited_on_both_paths_in_every_round() -> None:
    planned = list(measurements(ScalingSizes(rounds=2)))
    assert len({one.key for one in planned}) == len(planned) == 2 * (2 * (5 + 4) + 4)
    assert {one.arguments["cached"] for one in planned if one.path == "plain"} == {False}


def test_a_toy_run_resumes_and_writes_page_and_plots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work, lines = tmp_path / "work", []

    def interrupt(text: str) -> None:
        lines.append(text)
        if len(lines) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(work, TOY, processes=False, say=interrupt)
    results = measure(work, TOY, processes=False, say=lines.append)
    assert [line.split(":")[0] for line in lines] == [
        *(f"{k} of 10" for k in range(1, 5)),
        *(f"{k} of 6" for k in range(1, 7)),
    ]
    assert results["figures"]["records"]["200"]["drawn"] == 24 + (2 + 3) * TOY.rows  # one person and the steps' rows
    write_json(tmp_path / "scaling.json", results)
    steps = {"npo": {"28/4": {"ratio": {"min": 5.31, "median": 5.42, "max": 5.6}, "ceiling": 5.75}}}
    write_json(tmp_path / "step.json", {"measured": "on a day", "cases": steps})
    ratio = {"min": 7.9, "median": 8.0, "max": 8.1}
    write_json(
        tmp_path / "step-pretrained.json",
        {"measured": "on a day", "cases": {"4": {"ratio": {"plain": ratio, "trl": ratio | {"max": 10.2}}}}},
    )
    page, *files = write_page(tmp_path, tmp_path / "docs")
    text = page.read_text("utf-8")
    assert re.findall(r"!\[.+\]\((.+)\)", text) == [file.name for file in files]
    assert {ElementTree.fromstring(file.read_text("utf-8")).tag for file in files} == {f"{SVG}svg"}
    assert "| `npo` 28/4 | 5.3 | 5.4 | 5.6 | 5.8 |" in text
    assert "| 4 | 7.9 | 8.0 | 8.1 | 7.9 | 8.0 | 10.2 |" in text
    assert str(tmp_path) not in text
    for line in plots(results["figures"])[4].lines:
        assert f"| {line.name} | {format_slope(line.slope)} |" in text

    for name in ("time_steps", "time_corpus"):
        monkeypatch.setattr(scaling, name, None)
    again = measure(work, TOY, processes=False, say=lines.append)
    assert again["figures"] == results["figures"]
    assert len(lines) == 10
    with pytest.raises(InputError, match="name a new folder"):
        measure(work, ScalingSizes(), processes=False)


def test_the_committed_page_is_that_of_the_committed_results(tmp_path: Path) -> None:
    page, *files = write_page(ROOT / "benchmarks/results/speed", tmp_path)
    committed = ROOT / "docs/benchmarks"
    assert page.read_text("utf-8") == (committed / page.name).read_text("utf-8")
    assert {file.name for file in files} == {file.name for file in committed.glob("speed-*.svg")}


def test_a_path_without_its_cache_is_not_called_cached() -> None:
    with pytest.raises(RunFailed, match="the cache was not used"):
        time_steps(sizes=ScalingSizes(width=32, blocks=2, steps=1), layers=2, prompt=4, answer=2, cached=True)


@pytest.mark.parametrize("preload", [(), ("json",)])
def test_isolated_calls_run_in_new_processes(preload: tuple[str, ...]) -> None:
    with isolated(preload) as call:
        first, second = (call(os.getpid, {}) for _ in range(2))
        assert len({first, second, os.getpid()}) == 3
        with pytest.raises(FileNotFoundError):
            call(os.stat, {"path": "there/is/no/such/file"})
        with pytest.raises(RunFailed, match="ended early"):
            call(os._exit, {"status": 3})
