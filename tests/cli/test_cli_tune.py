"""`expunge tune`, and what `unlearn` and `estimate` say about rules, stopping and refusing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.cli import TARGET, Cli


def test_tune_writes_a_recipe_that_unlearn_takes(cli: Cli, world: Path, model: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    recipe = tmp_path / "recipe.yaml"
    words = ("--model", model, "--data", world, "--scope", TARGET)
    tuned = cli("tune", *words, "--out", recipe, "--trials", 1, "--steps", 4, "--retention", 0)
    assert tuned.code == 0, tuned.err
    assert "were not looked at" in tuned.out
    assert recipe.read_text().startswith("# Tuned on 1 stand-in with")
    run = cli("unlearn", *words, "--out", tmp_path / "run", "--recipe", recipe, "--set", "steps=2", "--json")
    assert run.code == 0, run.err
    assert run.json["stopped"]["bound"] == 2
    again = cli("tune", *words, "--out", recipe, "--trials", 1, "--steps", 4, "--retention", 0, "--seed", 5)
    assert again.code == 2
    assert "holds the trials of another" in again.err


def test_unlearn_says_what_the_model_says_instead(cli: Cli, world: Path, model: Path, tmp_path: Path) -> None:
    words = ("unlearn", "--model", model, "--data", world, "--scope", TARGET, "--set", "steps=1")
    words = (*words, "--set", "settings.candidates=2", "--set", "settings.null_candidates=1")
    stranger = cli(*words, "--out", tmp_path / "a")
    assert "say: stranger; about the forgotten subject" in stranger.out
    refuse = cli(*words, "--out", tmp_path / "b", "--say", "refuse", "--json")
    assert refuse.json["say"] == "refuse"
    assert refuse.json["recipe"] == "twin"
    assert json.loads((tmp_path / "b" / "run.json").read_text())["say"] == "refuse"
    assert cli(*words, "--out", tmp_path / "c", "--recipe", "npo", "--say", "refuse").code == 2
    assert cli(*words, "--out", tmp_path / "c", "--say", "nothing").code == 2
    assert not (tmp_path / "c").exists()


def test_estimate_says_up_to_and_how_to_shorten(cli: Cli, world: Path, model: Path) -> None:
    words = ("estimate", "--model", model, "--data", world, "--scope", TARGET, "--recipe", "npo", "--set", "steps=3")
    plain = cli(*words)
    assert "shorter: --set steps=N" in plain.out
    stops = cli(*words, "--set", "stop.when=controls")
    assert "up to 3" in stops.out
    assert "at most" in stops.out
    assert "shorter" not in stops.out
