"""Slopes that can be checked by hand, and one run at toy sizes: page, pictures, resuming. Times are not judged."""

from __future__ import annotations

import math
import os
import re
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest

from expunge.bench import growth, growth_jobs
from expunge.bench.apart import apart
from expunge.bench.growth import Sizes, main, plan
from expunge.bench.growth_page import gathered, meaning, number
from expunge.bench.panel import Line, Panel, draw, fit, marks, signed
from expunge.bench.panel import apart as moved_apart
from expunge.errors import InputError, RunFailed

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="resident memory is read from /proc")
TOY = Sizes(
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
    drawing=3,
)
SVG = "{http://www.w3.org/2000/svg}"


def test_a_slope_is_the_power_of_the_curve() -> None:
    assert fit((1, 10, 100), (3, 30, 300)) == pytest.approx((1, 3))
    assert fit((2, 4, 8), (5, 5, 5)) == pytest.approx((0, 5))
    assert fit((1, 2, 4), (1, 4, 16)) == pytest.approx((2, 1))
    assert fit((1, math.e, math.e**2), (1, math.e**2, math.e)) == pytest.approx((0.5, math.e**0.5))


@pytest.mark.parametrize(("x", "y"), [((1, 2), (1, 0)), ((0, 2), (1, 1)), ((3, 3), (1, 2))])
def test_a_slope_needs_two_places_and_values_above_nought(x: tuple[float, ...], y: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="two different places"):
        fit(x, y)


def test_the_last_slope_looks_at_the_last_two_points_alone() -> None:
    bent = Line("bent", (1, 10, 100), (1, 1, 10))
    assert (bent.slope, bent.last) == pytest.approx((0.5, 1))


@pytest.mark.parametrize(
    ("slope", "words"),
    [
        (0.0, "flat; ten times the layers means 1 times as much"),
        (-0.3, "falling; ten times the layers means 0.501 times as much"),
        (0.5, "less than in proportion; ten times the layers means 3.16 times as much"),
        (1.0, "in proportion; ten times the layers means 10 times as much"),
        (2.0, "more than in proportion; ten times the layers means 100 times as much"),
    ],
)
def test_a_slope_in_words(slope: float, words: str) -> None:
    assert meaning(slope, "layers") == words


def test_numbers_have_three_digits() -> None:
    assert [number(v) for v in (12345.6, 98.76, 9.876, 7.0, 0.01234)] == ["12,346", "98.8", "9.88", "7", "0.0123"]


def test_a_slope_has_two_decimals_and_nought_no_sign() -> None:
    assert [signed(v) for v in (0.456, -0.456, -0.001)] == ["0.46", "−0.46", "0.00"]


def test_names_that_would_overlap_are_moved_apart_and_keep_their_order() -> None:
    assert moved_apart([0.1, 0.9], 0.2) == [0.1, 0.9]
    assert moved_apart([0.5, 0.5], 0.2) == pytest.approx([0.4, 0.6])
    assert moved_apart([0.62, 0.5, 0.0], 0.2) == pytest.approx([0.66, 0.46, 0.0])
    assert moved_apart([0.3, 0.31, 0.32], 0.1) == pytest.approx([0.21, 0.31, 0.41])


def test_axis_marks_are_round_and_few() -> None:
    assert marks(0.9, 11) == pytest.approx([1, 2, 3, 5, 7, 10])
    assert marks(0.9, 60) == pytest.approx([1, 2, 5, 10, 20, 50])
    assert marks(0.9, 2000) == pytest.approx([1, 10, 100, 1000])


def test_a_picture_is_the_same_each_time_and_says_its_slopes() -> None:
    panel = Panel("k", "Title", "layers", "seconds", (Line("a", (1, 10), (1, 10)), Line("b < c", (1, 10), (2, 2))))
    drawn = draw(panel)
    assert drawn == draw(panel)
    words = {"".join(t.itertext()).strip() for t in xml.fromstring(drawn).iter(f"{SVG}text")}
    assert {"Title", "layers", "seconds", "a: slope 1.00", "b < c: slope 0.00"} <= words


def test_figures_are_medians_over_steps_and_rounds() -> None:
    rounds = [
        {"seconds": [1.0, 2.0, 9.0], "memory": 2**20, "busy": 1.0},
        {"seconds": [3.0, 3.0, 4.0], "memory": 3 * 2**20, "busy": 1.0},
    ]
    found = gathered([("layers", 8, "plain", one) for one in rounds])
    assert found == {"layers": {"8": {"plain": 3.0, "plain_memory": 2.0, "spread": pytest.approx(0.4)}}}


def test_every_point_is_visited_on_both_paths_in_every_round() -> None:
    jobs = list(plan(Sizes(rounds=2)))
    assert len({job.key for job in jobs}) == len(jobs) == 2 * (2 * (5 + 4) + 4)
    assert {job.given.get("cached") for job in jobs if job.path == "plain"} == {False}


def test_a_toy_run_writes_page_and_pictures_and_measures_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, work = tmp_path / "docs" / "speed.md", tmp_path / "work"
    lines: list[str] = []

    def tired(text: str) -> None:
        lines.append(text)
        if len(lines) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        main(out=out, work=work, sizes=TOY, processes=False, say=tired)
    assert not out.exists()
    found = main(out=out, work=work, sizes=TOY, processes=False, say=lines.append)
    assert [line.split(":")[0] for line in lines] == [
        *(f"{k} of 10" for k in range(1, 5)),
        *(f"{k} of 6" for k in range(1, 7)),
    ]
    text = out.read_text("utf-8")
    for name in re.findall(r"!\[.+\]\((.+)\)", text):
        assert xml.fromstring((out.parent / name).read_text("utf-8")).tag == f"{SVG}svg"
    assert len(found["pictures"]) == 6 == text.count("![")
    assert set(found["slopes"]["layers-time"]) == {"step, cached", "step, plain"}
    assert "1 thread" in text
    assert str(tmp_path) not in text
    rows = [line for line in text.splitlines() if line.startswith("| 200 |")]
    assert rows[0].split(" | ")[2] == str(24 + (2 + 3) * growth_jobs.ROWS)  # one person, and what the steps draw
    for name, slope in found["slopes"]["records-time"].items():
        assert f"| {name} | {signed(slope)} |" in text

    for name in ("time_steps", "time_records"):
        monkeypatch.setattr(growth_jobs, name, None)
    monkeypatch.setattr(growth, "draw", lambda panel: panel.key)
    assert main(out=out, work=work, sizes=TOY, processes=False, say=lines.append) == found
    assert out.read_text("utf-8") == text
    assert len(lines) == 10
    monkeypatch.setattr(growth, "_machine", lambda: {"cores": 1000})
    with pytest.raises(InputError, match="name a new folder"):
        main(out=out, work=work, sizes=TOY, processes=False)


def test_a_path_without_its_cache_is_not_called_cached() -> None:
    with pytest.raises(RunFailed, match="the cache was not used"):
        growth_jobs.time_steps(layers=2, prompt=4, answer=2, cached=True, steps=1, width=32, blocks=2)


def test_work_apart_runs_in_a_new_process_each_time_and_tells_of_its_end() -> None:
    with apart([]) as run:
        first, second = (run(os.getpid, {}) for _ in range(2))
        assert len({first, second, os.getpid()}) == 3
        with pytest.raises(FileNotFoundError):
            run(os.stat, {"path": "there/is/no/such/file"})
        with pytest.raises(RunFailed, match="ended early"):
            run(os._exit, {"status": 3})
