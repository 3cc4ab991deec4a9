"""`bench growth`, `bench evaluation` and `bench memory` hand over what was typed and show what comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from helpers.cli import Cli


@pytest.mark.parametrize(("words", "work"), [((), Path("runs") / "bench-growth"), (("--work", "w"), Path("w"))])
def test_growth_writes_where_it_is_told_and_shows_the_slopes(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], work: Path
) -> None:
    def measured(**given: Any) -> dict[str, Any]:
        given.pop("say")("1 of 1")
        assert given == {"out": Path("speed.md"), "work": work}
        return {"page": "speed.md", "summary": "Time of a step: cached 0.05"}

    monkeypatch.setattr("expunge.bench.growth.main", measured)
    found = cli("bench", "growth", "--out", "speed.md", *words)
    assert (found.code, found.out, found.line) == (0, "Time of a step: cached 0.05\npage: speed.md\n", "1 of 1")
    assert cli("bench", "growth", "--out", "speed.md", *words, "--json").json["page"] == "speed.md"


def test_growth_asks_for_a_page(cli: Cli) -> None:
    found = cli("bench", "growth")
    assert found.code == 2
    assert "--out" in found.line


@pytest.mark.parametrize(("words", "pairs"), [((), 5), (("--pairs", 2), 2)])
def test_evaluation_shows_a_line_for_each_vocabulary(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, words: tuple[object, ...], pairs: int
) -> None:
    size = {"ratio": {"min": 1.5, "median": 2.0, "max": 2.5}, "seconds": {"plain": 4.0, "ours": 2.0}, "off": 0.0}

    def measured(**given: Any) -> dict[str, Any]:
        given.pop("say")("pair")
        assert given == {"pairs": pairs}
        return {"options": {"2048": size}, "pairs": pairs}

    monkeypatch.setattr("expunge.bench.evaluation.main", measured)
    found = cli("bench", "evaluation", *words)
    assert (found.code, found.line) == (0, "pair")
    assert found.out.splitlines()[-1].split() == ["2,048", "2.000", "1.500", "2.500", "4.000", "2.000"]
    assert cli("bench", "evaluation", *words, "--json").json == {"options": {"2048": size}, "pairs": pairs}


def test_memory_shows_its_phases(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    phase = {"records": 2000, "seconds": 0.5, "peak": 3 << 20, "now": 2 << 20}

    def measured(records: int, folder: Path, say: Any) -> dict[str, Any]:
        say("load")
        assert (records, folder) == (2000, Path("o"))
        return {"records": records, "peak": 3 << 20, "phases": {"load": phase}}

    monkeypatch.setattr("expunge.bench.memory.main", measured)
    found = cli("bench", "memory", "--records", 2000, "--out", "o")
    assert (found.code, found.line) == (0, "load")
    assert found.out.splitlines()[-1].split() == ["load", "2,000", "0.500", "3.000", "2.000"]
    assert cli("bench", "memory", "--records", 2000, "--out", "o", "--json").json["phases"]["load"] == phase


def test_memory_refuses_a_corpus_too_small_to_measure(cli: Cli) -> None:
    found = cli("bench", "memory", "--records", 10)
    assert found.code == 2
    assert "--records" in found.line


def test_planning_shows_its_table(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("expunge.bench.planning.main", lambda say: {"within": True, "table": "| case |"})
    assert cli("bench", "planning").out == "| case |\n"
