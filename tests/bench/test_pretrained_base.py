"""Experiments whose references are taught from a pretrained model, and grids with the same values for all arms."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from expunge.bench.experiment import Experiment, Tuning
from expunge.bench.pipeline import Trial
from expunge.bench.report import publish
from expunge.bench.study import run
from expunge.engine.recipe import Recipe
from expunge.engine.train.train_file import read_train_file
from expunge.errors import InputError
from helpers.chat_model import make_chat_model
from helpers.experiments import CELL, REQUEST, TINY, write_tiny

TRAIN = {
    **{"epochs": 30, "batch": 16, "lora": "none", "layers": "all", "kl_weight": 0, "target_accuracy": 0.5},
    "optimizer": {"lr": 0.01},
}


def write(folder: Path, base: str = "Tiny-Chat", **changed: Any) -> Path:
    raw = yaml.safe_load(TINY) | {"model": {"pretrained": base}, "train": TRAIN, "presets": {}, "arms": {"npo": "npo"}}
    raw |= {"claims": [], "seeds": [1, 2], "references": ["original", "retrained"], "goals": None} | changed
    return write_tiny(folder, yaml.safe_dump(raw, sort_keys=False))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    records = CELL.sets().corpus.trained
    folder = tmp_path_factory.mktemp("base") / "chat"
    return make_chat_model(folder, [f"{r.prompt} {r.answer}" for r in records])


@pytest.mark.trains
def test_references_are_taught_from_the_base_and_its_content_names_them(base: Path, tmp_path: Path) -> None:
    grid = {"rate": [0.001, 0.002], "retain": [2], "steps": [2]}
    experiment = Experiment.load(write(tmp_path, tune={"grid": grid, "across_seeds": True}))
    results = run(experiment, tmp_path / "bench", workers=1, model=str(base))
    assert results["model"] == {
        "pretrained": "Tiny-Chat",
        "digest": results["model"]["digest"],
        "architecture": "llama",
        "layers": 2,
        "width": 32,
    }
    assert results["options"] == ["--model MODEL"]
    models = {p.parent.parent.name: read_train_file(p.parent) for p in tmp_path.glob("bench/*/*/*/train.json")}
    assert {m["about"]["start"] for m in models.values()} == {results["model"]["digest"]}
    assert {m["about"]["settings"]["lora"] for m in models.values()} == {None}
    entry = results["tuning"][str(REQUEST)]["npo"]
    assert [t["setting"]["rate"] for t in entry["trials"]] == [0.001, 0.002]
    assert set(entry["by_seed"]) == {"1", "2"}
    assert results["methods"]["npo"]["retention"] is not None
    page = publish(experiment, tmp_path, tmp_path / "bench" / "tiny.json").read_text("utf-8")
    assert "Tiny-Chat (llama, 2 blocks × 32" in page
    assert "pretrained, then taught its records" in page
    moved = tmp_path / "elsewhere"
    shutil.copytree(base, moved)
    lines: list[str] = []
    assert run(experiment, tmp_path / "bench", workers=1, model=str(moved), say=lines.append) == results
    assert not any("knows" in line for line in lines)  # the same weights at another path are the same base
    (moved / "config.json").write_text((moved / "config.json").read_text("utf-8").replace("}", " }"), "utf-8")
    with pytest.raises(InputError, match="holds a run of tiny with other settings"):
        run(experiment, tmp_path / "bench", workers=1, model=str(moved))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"train": TRAIN | {"lorra": 8}}, 'unknown key "train.lorra"'),
        ({"model": {"pretrained": "x", "layers": 2}}, 'unknown key "model.layers"'),
        ({"model": {"pretrained": ""}}, "model.pretrained: must not be empty"),
        ({"tune": {"grid": {"lr": [1], "rate": [0.1], "steps": [2]}}}, '"lr" and "rate" are the same quantity'),
    ],
)
def test_a_wrong_file_of_a_pretrained_model_is_one_line(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Experiment.load(write(tmp_path, **changed))


def test_a_base_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    experiment = Experiment.load(write(tmp_path))
    with pytest.raises(InputError, match=r'model\.pretrained: there is no folder "Tiny-Chat"'):
        run(experiment, tmp_path / "bench", workers=1)
    with pytest.raises(InputError, match='--model: there is no folder "none"'):
        run(experiment, tmp_path / "bench", workers=1, model="none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="is no model folder"):
        run(experiment, tmp_path / "bench", workers=1, model=str(tmp_path / "empty"))
    with pytest.raises(InputError, match="trains its models from scratch"):
        run(Experiment.load(write_tiny(tmp_path)), tmp_path / "bench", workers=1, model="x")
    assert not (tmp_path / "bench").exists()


def test_rate_and_retain_weight_are_equal_for_all_arms() -> None:
    trial = Trial(rate=0.0005, retain=8, steps=10)
    for name in ("npo", "twin-kl"):
        recipe = trial.apply(Recipe.load(name))
        assert (recipe.optimizer.lr, recipe.retain.weight, recipe.steps) == (0.0005, 8, 10)
    assert str(trial) == "learning rate 0.0005, retain weight 8, 10 steps"
    grid = Tuning.model_validate({"grid": {"rate": [1, 2], "retain": [0], "steps": [3]}})
    assert [(t.rate, t.retain, t.lr_factor) for t in grid.trials()] == [(1, 0, 1), (2, 0, 1)]
