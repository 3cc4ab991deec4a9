"""Edits on the command line: the output of a run without steps, and refused settings."""

from __future__ import annotations

from pathlib import Path

from helpers.cli import TARGET, Cli


def test_an_edit_runs_and_says_what_it_edited(cli: Cli, world: Path, model: Path, tmp_path: Path) -> None:
    words = ("unlearn", "--model", model, "--data", world, "--scope", TARGET, "--out", tmp_path / "run")
    done = cli(*words, "--recipe", "chip")
    assert done.code == 0
    assert "neurons of" in done.out
    assert "matrices edited against" in done.out
    refused = cli(*words, "--recipe", "manu", "--set", "steps=9")
    assert refused.code == 2
    assert "recipe: steps: has no effect on manu" in refused.err


def test_plan_and_lists_know_edits(cli: Cli, world: Path, model: Path) -> None:
    estimate = cli("estimate", "--model", model, "--data", world, "--scope", TARGET, "--recipe", "manu")
    assert estimate.code == 0
    assert "manu edits weights at once" in estimate.out
    for kind in ("methods", "recipes"):
        result = {item["name"]: item for item in cli("list", kind, "--json").json["items"]}
        assert [result[name]["rule"] for name in ("chip", "manu", "npo")] == ["none", "none", "sum"]
