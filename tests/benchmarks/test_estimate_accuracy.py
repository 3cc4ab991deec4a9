"""Estimates are compared with real runs, each in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.speed.estimate_accuracy import measure

pytestmark = pytest.mark.process

LINUX = Path("/proc/self/status").exists()


@pytest.mark.skipif(not LINUX, reason="resident memory is read from /proc")
def test_estimates_are_compared_with_the_run() -> None:
    lines: list[str] = []
    cases = {"small": ("npo", "steps=2", "batch.forget=4", "batch.retain=4")}
    result = measure(cases, layers=2, width=32, say=lines.append)
    assert len(lines) == 1
    row = result["cases"]["small"]
    assert set(row) == {"seconds", "steps", "memory"}
    assert all(v["real"] > 0 and v["ratio"] == v["estimated"] / v["real"] for v in row.values())
    assert 0.5 <= row["memory"]["ratio"] <= 2
    assert result["least"] <= result["most"]
