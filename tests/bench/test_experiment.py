"""An experiment's file: sizes, arms, grids, and one clear line for everything that is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from expunge.bench.experiment import Experiment, Tuning, locate, names, overlay
from expunge.bench.pipeline import Trial
from expunge.bench.places import Runner
from expunge.errors import InputError
from helpers.experiments import BENCHMARKS, CELL, TINY, write_tiny

SHIPPED = sorted(path.stem for path in (BENCHMARKS / "experiments").glob("*.yaml"))


def test_a_preset_merges_mappings_replaces_lists_and_selects_arms(tmp_path: Path) -> None:
    path = write_tiny(tmp_path)
    whole, smaller = Experiment.load(path), Experiment.load(path, "smaller")
    assert (smaller.model.width, smaller.model.layers) == (32, whole.model.layers)
    assert [t.lr_factor for t in smaller.tune.trials()] == [1]
    assert smaller.tune.min_retention == 0.9
    assert [a.name for a in smaller.select()] == ["npo"]
    assert [a.name for a in whole.select()] == ["npo", "simnpo"]
    assert overlay({"a": {"b": 1, "c": [1]}, "d": 2}, {"a": {"c": [2]}}) == {"a": {"b": 1, "c": [2]}, "d": 2}


def test_the_first_key_of_a_grid_is_the_outermost_loop() -> None:
    trials = Tuning(grid={"retain_weight": (1, 8), "steps": (100, 300), "lr": (0.3,)}).trials()
    assert [(t.retain_factor, t.steps, t.lr_factor) for t in trials] == [
        (1, 100, 0.3),
        (1, 300, 0.3),
        (8, 100, 0.3),
        (8, 300, 0.3),
    ]


def test_adding_an_arm_is_one_line(tmp_path: Path) -> None:
    text = TINY.replace("  npo: npo\n", "  npo: npo\n  mine: {recipe: twin, set: [settings.replace=text]}\n")
    arm = Experiment.load(write_tiny(tmp_path, text)).select()[1]
    assert arm.as_row() == ["twin", "settings.replace=text"]
    assert arm.recipes()["mine"].settings["replace"] == "text"


def test_arms_are_chosen_by_name_and_lists_of_changes_are_flat(tmp_path: Path) -> None:
    experiment = Experiment.load(write_tiny(tmp_path))
    assert experiment.arms["simnpo"].set == ("train.rank=4",)
    assert experiment.recipes(experiment.select()) == {"npo": ["npo"], "simnpo": ["simnpo", "train.rank=4"]}
    assert [a.name for a in experiment.select(("simnpo",))] == ["simnpo"]
    with pytest.raises(InputError, match='--arms: unknown arm "nppo"; did you mean "npo"'):
        experiment.select(("nppo",))
    with pytest.raises(InputError, match="names one twice"):
        experiment.select(("npo", "npo"))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("batch: 8", "bach: 8", 'unknown key "bach"; did you mean "batch"'),
        ("question: Does it run?", "question: [", "tiny.yaml:3: not valid YAML"),
        ("{recipe: simnpo", "{recipe: simnpo, tuned_as: nobody", 'there is no arm "nobody"'),
        ("measures: [core]", "measures: [core]\nplugins: [nowhere.py]", "nowhere.py: is no Python file"),
        ("lr: [1, 2]", "speed: [1, 2]", "tune.grid"),
        ("report:\n", "report: gone.yaml\n_page:\n", "gone.yaml: there is no such file"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        Experiment.load(write_tiny(tmp_path, TINY.replace(old, new)))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_page_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    raw = yaml.safe_load(TINY)
    write_tiny(tmp_path, yaml.safe_dump(raw.pop("report"))).rename(tmp_path / "page.yaml")
    path = write_tiny(tmp_path, yaml.safe_dump(raw | {"report": "page.yaml"}))
    assert [table.title for table in Experiment.load(path).report.tables] == ["All", "By request"]


def test_names_are_looked_up_in_the_checkout_and_paths_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert locate("lume") == BENCHMARKS / "experiments" / "lume.yaml"
    path = write_tiny(tmp_path)
    assert locate(path) == path
    with pytest.raises(InputError, match='unknown experiment "lme"; did you mean "lume"'):
        locate("lme")
    with pytest.raises(InputError, match="there is no such file"):
        Experiment.load(tmp_path / "gone.yaml")
    with pytest.raises(InputError, match='unknown preset "cp"; did you mean "cpu"'):
        Experiment.load(path, "cp")
    monkeypatch.setattr("expunge.bench.experiment.__file__", str(tmp_path / "a" / "b" / "c" / "d.py"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no folder benchmarks/experiments"):
        names()
    assert Experiment.load(path).name == "tiny"


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_experiment_loads_in_every_size(name: str) -> None:
    raw = yaml.safe_load((BENCHMARKS / "experiments" / f"{name}.yaml").read_text("utf-8"))
    assert {"smoke", "gpu"} <= set(raw["presets"])
    for preset in ("cpu", *raw["presets"]):
        experiment = Experiment.load(name, preset)
        assert experiment.tune.seed not in experiment.seeds
        assert not experiment.goals or experiment.goals.arm in experiment.arms
    for arm in Experiment.load(name).arms.values():
        assert arm.recipes()[arm.name].resolve().total_steps > 0


def test_an_arm_with_more_rows_may_have_more_steps(tmp_path: Path) -> None:
    text = TINY.replace("npo: npo", "npo: npo\n  longer: {recipe: npo, steps: 1.6}")
    experiment = Experiment.load(write_tiny(tmp_path, text))
    runner = Runner(tmp_path, experiment)
    steps = [runner.stages(CELL, experiment.arms[a], Trial(steps=5))[0].recipe.steps for a in ("npo", "longer")]
    assert steps == [5, 8]
    assert experiment.arms["longer"].as_row() == ["npo", "1.6 × the steps"]


def test_arms_of_one_experiment_train_as_many_parameters() -> None:
    for arm in Experiment.load("medforget").arms.values():
        recipe = arm.recipes()[arm.name]
        assert recipe.resolve().edit or recipe.train.rank == 16
