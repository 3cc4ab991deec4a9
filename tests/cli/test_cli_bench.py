"""`bench lume` hands its words to the suite and shows what comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from helpers.cli import Cli


@pytest.mark.parametrize(
    ("words", "seeds", "results"), [((), (), None), (("--seeds", "42,7", "--results", "x.md"), (42, 7), Path("x.md"))]
)
def test_the_suite_gets_what_was_typed(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], seeds: tuple[int, ...], results: Path | None
) -> None:
    def suite(**given: Any) -> dict[str, Any]:
        given.pop("say")("working")
        assert given == {"data": Path("d"), "out": Path("o"), "preset": "smoke", "seeds": seeds, "results": results}
        return {"bench": "lume", "table": "method  score\nnpo  1"}

    monkeypatch.setattr("expunge.bench.lume.main", suite)
    line = ("bench", "lume", "--data", "d", "--out", "o", "--preset", "smoke", *words)
    found = cli(*line)
    assert (found.code, found.out, found.line) == (0, "method  score\nnpo  1\n", "working")
    assert cli(*line, "--json").json == {"bench": "lume", "table": "method  score\nnpo  1"}
