"""`expunge unlearn --set privacy.epsilon=…` says its cost and its claims; `expunge estimate` prints them before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from helpers.cli import TARGET, Cli

pytestmark = pytest.mark.trains

SHORT = (
    "--recipe",
    "npo",
    "--set",
    "steps=3",
    "--set",
    "batch.forget=4",
    "--set",
    "batch.retain=8",
    "--set",
    "privacy.epsilon=4",
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("expunge.engine.estimate.timing.SECONDS", 0.02)


def test_a_private_run_prints_epsilon_and_its_claims(cli: Cli, world: Path, model: Path, tmp_path: Path) -> None:
    words = ("unlearn", "--model", model, "--data", world, "--scope", TARGET, "--out", tmp_path / "run", *SHORT)
    result = cli(*words)
    assert result.code == 0
    assert "privacy: epsilon = 3.99" in result.out
    assert "delta = 1e-05, unit: subject" in result.out
    assert "  may be claimed: this run's update is (epsilon = " in result.out
    assert result.out.count("  may not be claimed: ") == 6
    assert "the forget set: its only unit is in every step (rate 1)" in result.out
    assert "loss nan" not in result.err
    result = cli(*words, "--json").json["privacy"]  # finished: nothing is computed again
    assert result["epsilon"]["pld"] <= 4.0
    assert [query["released"] for query in result["queries"]] == [3, 3]


@pytest.mark.slow
def test_a_plan_foretells_it(cli: Cli, world: Path, model: Path) -> None:
    words = ("estimate", "--model", model, "--data", world, "--scope", TARGET, *SHORT)
    result = cli(*words)
    assert (result.code, result.err) == (0, "")
    assert "privacy: epsilon = 3.99" in result.out
    assert "  may be claimed" not in result.out
    result: dict[str, Any] = cli(*words, "--json").json
    assert result["privacy"]["status"] == "planned"
    assert result["rows"][0]["steps"] == 3


def test_what_cannot_be_private_is_one_line(cli: Cli, world: Path, model: Path, tmp_path: Path) -> None:
    for command, more in (("unlearn", ("--out", tmp_path / "run")), ("estimate", ())):
        result = cli(command, "--model", model, "--data", world, "--scope", TARGET, "--set", "privacy.epsilon=4", *more)
        assert result.code == 2
        assert "recipe: method: twin builds its targets" in result.line
