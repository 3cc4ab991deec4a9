"""The timed loops do the same work: otherwise a ratio of their times says nothing."""

from __future__ import annotations

import pytest

from expunge.bench.step import main


def test_the_plain_loop_and_ours_take_the_same_steps() -> None:
    lines: list[str] = []
    found = main(pairs=2, steps=2, say=lines.append)
    assert found["losses"]["ours"] == pytest.approx(found["losses"]["plain"], rel=1e-3)
    assert len(found["losses"]["ours"]) == 4
    assert len(lines) == 2
    ratio = found["npo"]["8/8"]["ratio"]
    assert 0 < ratio["min"] <= ratio["median"] <= ratio["max"]
