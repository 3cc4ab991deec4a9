"""Export on the command line, and what unlearn says at its end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.cli import TARGET, Cli, full_disk

SHORT = ("--recipe", "npo", "--set", "steps=2", "--set", "batch.forget=4", "--set", "batch.retain=4")


@pytest.mark.trains
def test_a_run_is_exported_and_scored(cli: Cli, world: Path, model: Path, tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    words = ("unlearn", "--model", model, "--data", world, "--scope", TARGET, "--out", run, *SHORT)
    done = cli(*words, "--device", "cpu", "--dtype", "float32", "--template", "plain")
    assert done.code == 0, done.err
    assert f"expunge export {run} --out {run}-model" in done.out
    assert "without it still knows all" in done.out
    assert json.loads((run / "run.json").read_text())["template"] == "plain"
    same = cli("export", run, "--out", out, "--verify", "--data", world, "--scope", TARGET, "--json")
    assert same.code == 0, same.err
    assert same.json["remaining_copies"] == [str(model.resolve())]
    for pair in same.json["scores"].values():
        for value in pair.values():
            assert value["export"] == pytest.approx(value["run"], abs=1e-4)
    adapter = cli("export", run, "--out", tmp_path / "adapter", "--as", "adapter")
    assert "warning: the base model still knows" in adapter.out
    with full_disk():
        failed = cli("export", run, "--out", tmp_path / "none")
    assert failed.code == 2
    assert "free some space" in failed.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["adapter", "out", "run"]


def test_wrong_words_of_export_are_one_line(cli: Cli, model: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "out")
    wrong = {
        ("export", model.parent / "tinny", *out): f"did you mean {model}?",
        ("export", model, *out, "--data", "x"): "give --data and --scope together",
        ("export", model, *out, "--data", "x", "--scope", "y"): "add --verify",
        ("export", model, *out, "--dtype", "int8"): 'cannot be written as "int8"',
        ("export", model, *out, "--as", "adapter"): "use --as merged",
        ("export", model, "--out", model / "out"): "lies inside",
    }
    for words, line in wrong.items():
        result = cli(*words)
        assert (result.code, line in result.err) == (2, True), result.err
    assert not (tmp_path / "out").exists()


def test_precisions_and_devices_that_cannot_be_are_refused(cli: Cli, world: Path, model: Path, tmp_path: Path) -> None:
    words = ("unlearn", "--model", model, "--data", world, "--scope", TARGET, "--out", tmp_path / "r", *SHORT)
    assert "float16 cannot train" in cli(*words, "--dtype", "float16").err
    assert 'did you mean "float32"?' in cli(*words, "--dtype", "float23").err
    assert "cannot be used" in cli(*words, "--device", "cuda:77").err
    assert not (tmp_path / "r").exists()
