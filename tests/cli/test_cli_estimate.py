"""`expunge estimate`: two rows, nothing written, and the same refusals as `expunge unlearn`."""

from __future__ import annotations

from pathlib import Path

import pytest

from expunge.cli.estimate import duration, mib
from expunge.engine.recipe import Recipe
from helpers.cli import TARGET, Cli

pytestmark = pytest.mark.slow

NPO = ("--recipe", "npo", "--set", "steps=3", "--set", "batch.forget=4", "--set", "batch.retain=4")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("expunge.engine.estimate.timing.SECONDS", 0.02)


def files(*folders: Path) -> dict[Path, tuple[int, int]]:
    return {f: (f.stat().st_mtime_ns, f.stat().st_size) for folder in folders for f in folder.rglob("*")}


def test_both_rows_are_shown_and_nothing_is_written(
    cli: Cli, world: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = files(world.parent, model)
    result = cli("estimate", "--model", model, "--data", world, "--scope", TARGET, *NPO)
    assert (result.code, result.err) == (0, "")
    assert "as given" in result.out
    assert "blocks 0-1 of 2 train, no cache: block 0 trains" in result.out
    assert "preview: last 1" in result.out
    assert "block 1 of 2 train, the first 1 cached" in result.out
    assert files(world.parent, model) == before
    assert list(tmp_path.iterdir()) == []


def test_the_object_holds_every_number(cli: Cli, world: Path, model: Path) -> None:
    result = cli(
        "estimate", "--model", model, "--data", world, "--scope", TARGET, *NPO, "--set", "train.layers=1", "--json"
    )
    first, release = result.json["rows"]
    assert (first["name"], release["name"]) == ("as given", "release: all layers")
    assert (first["steps"], first["rows_drawn"]) == (3, 3 * 8)
    assert first["cache_bytes"] > 0
    assert first["cache_location"] == "memory"
    parts = ("load_seconds", "prepare_seconds", "train_seconds", "save_seconds")
    assert first["seconds"] == pytest.approx(sum(first[k] for k in parts))
    assert set(first["memory"]) == {"process", "weights", "optimizer", "activations", "caches", "peak"}


def test_without_a_scope_the_largest_subject_is_taken(cli: Cli, world: Path, model: Path) -> None:
    result = cli("estimate", "--model", model, "--data", world, *NPO, "--json").json["split"]
    assert len(result["targets"]) == 1
    assert result["scope"] == f"subject {result['targets'][0]}"


@pytest.mark.parametrize(
    "words",
    [
        ("--recipe", "nop"),
        ("--set", "steps=none"),
        ("--set", "train.layers=9"),
        ("--scope", "patient:nobody"),
        ("--model", "no/such/folder"),
        ("--data", "nowhere.jsonl"),
    ],
)
def test_what_unlearn_refuses_is_refused_in_the_same_words(
    cli: Cli, world: Path, model: Path, tmp_path: Path, words: tuple[str, str]
) -> None:
    options = {"--model": model, "--data": world, "--scope": TARGET, "--recipe": "npo", words[0]: words[1]}
    line = [word for pair in options.items() for word in pair]
    estimate, run = cli("estimate", *line), cli("unlearn", *line, "--out", tmp_path / "out")
    assert estimate.code == run.code == 2
    assert estimate.out == ""
    assert estimate.line == run.line


def test_a_preview_of_all_blocks_is_refused(cli: Cli, world: Path, model: Path) -> None:
    result = cli("estimate", "--model", model, "--data", world, "--scope", TARGET, *NPO, "--preview-layers", 2)
    assert result.code == 2
    assert result.line == "error: --preview-layers: is 2, and the model has 2 blocks; give 1 or more, at most 1"


@pytest.mark.parametrize(
    ("seconds", "message"),
    [(0.44, "0.4 s"), (59.4, "59 s"), (59.7, "1 min 00 s"), (200.2, "3 min 20 s"), (7500.0, "2 h 05 min")],
)
def test_durations_are_readable(seconds: float, message: str) -> None:
    assert duration(seconds) == message


def test_bytes_are_in_mebibytes_or_gibibytes() -> None:
    assert (mib(3 << 19), mib(5 << 28)) == ("1.5 MiB", "1.2 GiB")


def test_the_default_recipe_is_that_of_unlearn(cli: Cli, world: Path, model: Path) -> None:
    result = cli(
        "estimate",
        "--model",
        model,
        "--data",
        world,
        "--scope",
        TARGET,
        "--set",
        "settings.candidates=2",
        "--set",
        "steps=2",
        "--json",
    ).json
    assert result["method"] == Recipe.load("twin").method
