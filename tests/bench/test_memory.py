"""What the memory bench measures, and what it must not exceed."""

from __future__ import annotations

from pathlib import Path

import pytest

from expunge.bench.memory import main
from expunge.errors import RunFailed

LINUX = Path("/proc/self/status").exists()


@pytest.mark.skipif(not LINUX, reason="resident memory is read from /proc")
def test_a_stored_corpus_takes_few_bytes_per_record(tmp_path: Path) -> None:
    """About 430 bytes each; as objects the same records take 1,900."""
    small, large = (main(n, tmp_path, lambda line: None, torch=False, in_memory=0) for n in (5_000, 20_000))
    assert (large["peak"] - small["peak"]) / 15_000 < 900
    counts = {name: phase["records"] for name, phase in small["phases"].items()}
    kept = counts.pop("iterate")
    assert counts == {"import": 0, "load": 5_000, "resolve": kept, "draw": pytest.approx(900, abs=60)}
    assert 0.6 * 5_000 < kept < 0.8 * 5_000


def test_a_measured_process_that_dies_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("expunge.bench.memory.write", lambda file, records: file.write_bytes(b"no table"))
    with pytest.raises(RunFailed, match="the measured process ended with 1"):
        main(10, tmp_path, lambda line: None, torch=False)
