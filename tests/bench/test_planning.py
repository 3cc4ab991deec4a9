"""The bench compares what was said with what happened, in processes of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from expunge.bench.planning import Case, main, table
from expunge.errors import RunFailed

LINUX = Path("/proc/self/status").exists()


@pytest.mark.skipif(not LINUX, reason="resident memory is read from /proc")
def test_estimates_stand_beside_what_happened() -> None:
    lines: list[str] = []
    few = ("steps=2", "batch.forget=4", "batch.retain=4")
    found = main(lines.append, cases=(Case("small", "npo", few),), layers=2, width=32)
    assert len(lines) == 1
    row = found["cases"]["small"]
    assert set(row) == {"seconds", "steps", "memory"}
    assert all(v["real"] > 0 and v["ratio"] == v["estimated"] / v["real"] for v in row.values())
    assert 0.5 <= row["memory"]["ratio"] <= 2
    assert found["least"] <= found["most"]


def test_a_run_that_fails_is_told() -> None:
    with pytest.raises(RunFailed, match="the measured process ended with 1"):
        main(lambda line: None, cases=(Case("wrong", "npo", ("train.layers=7",)),), layers=1, width=32)


def test_the_table_has_a_line_per_case() -> None:
    one = {"estimated": 3 * 2.0**20, "real": 2.0**21, "ratio": 1.5}
    lines = table({"a": dict.fromkeys(("seconds", "steps", "memory"), one)}).splitlines()
    assert len(lines) == 2
    assert lines[1].split()[-3:] == ["1.50", "1.50", "1.50"]
    assert lines[1].split()[5:7] == ["3", "2"]
