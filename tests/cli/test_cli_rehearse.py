"""`expunge rehearse`: the recipe of a run on other people, before the run."""

from __future__ import annotations

import json
from pathlib import Path

from helpers.cli import TARGET, Cli


def test_a_recipe_is_tried_on_others(cli: Cli, world: Path, model: Path, tmp_path: Path) -> None:
    words = ("rehearse", "--model", model, "--data", world, "--scope", TARGET, "--recipe", "npo", "--set", "steps=2")
    tried = cli(*words, "--out", tmp_path / "out")
    assert tried.code == 0, tried.err
    assert "rehearsed on 1 other person with" in tried.out
    assert "nobody of the scope was looked at" in tried.out
    assert "It does not say that the person of the request will be forgotten" in tried.out
    again = cli(*words, "--out", tmp_path / "out", "--json")
    report = json.loads((tmp_path / "out" / "rehearsal.json").read_text())
    assert {key: again.json[key] for key in report} == report
    other = cli(*words, "--out", tmp_path / "out", "--seed", 7)
    assert other.code == 2
    assert "is a rehearsal of another model, request or recipe" in other.err


def test_nobody_to_practise_on_is_code_3(cli: Cli, world: Path, model: Path, tmp_path: Path) -> None:
    words = ("rehearse", "--model", model, "--data", world, "--scope", TARGET, "--recipe", "npo")
    tried = cli(*words, "--out", tmp_path / "out", "--stand-ins", 900)
    assert tried.code == 3, tried.err
    assert "not rehearsed: it needs 902 other subjects" in tried.out
    bad = cli("rehearse", "--data", world, "--scope", TARGET, "--out", tmp_path / "x")
    assert bad.code == 2
    assert "name the model" in bad.err
