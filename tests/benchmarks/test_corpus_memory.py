"""Memory of a corpus: what is measured, and what it must not exceed."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.speed.memory import measure

pytestmark = pytest.mark.process

LINUX = Path("/proc/self/status").exists()


@pytest.mark.skipif(not LINUX, reason="resident memory is read from /proc")
def test_a_stored_corpus_takes_few_bytes_per_record(tmp_path: Path) -> None:
    """About 430 bytes each; as objects the same records take 1,900."""
    small, large = (measure(n, tmp_path, torch=False, in_memory=0, say=lambda line: None) for n in (5_000, 20_000))
    assert (large["peak"] - small["peak"]) / 15_000 < 900
    counts = {name: phase["records"] for name, phase in small["phases"].items()}
    retain = counts.pop("iterate")
    assert counts == {"import": 0, "load": 5_000, "resolve": retain, "draw": pytest.approx(900, abs=60)}
    assert 0.6 * 5_000 < retain < 0.8 * 5_000
