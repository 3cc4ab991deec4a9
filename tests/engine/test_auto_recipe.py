"""The rules of `--recipe auto`: numbers that can be checked by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from expunge.corpus import Record
from expunge.corpus.image import RecordImage
from expunge.corpus.provenance import behind_provenance
from expunge.engine.auto_recipe import (
    ModelFacts,
    auto_recipe,
    count_rows,
    forget_batch,
    learning_rate,
    model_facts,
    places_to_ask,
    recipe_for,
    seed_of,
    step_count,
)
from expunge.engine.recipe import Recipe
from expunge.errors import InputError
from helpers.reconstruction import everybody, split
from helpers.world import RUNNING, one_person

SMOLLM = ModelFacts(blocks=30, width=576)


def values(facts: ModelFacts, rows: int, **options: object) -> dict[str, object]:
    return {choice.key: choice.value for choice in auto_recipe(facts, rows, **options)}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("blocks", "width", "trained", "rate"),
    [
        (30, 576, 7, 0.003),
        (30, 576, 10, 0.003),
        (30, 576, 30, 0.001),
        (32, 2304, 8, 0.0015),  # sqrt(576 / 2304) = 1/2
        (40, 2304, 20, 0.00075),  # half of it for twice ten blocks
    ],
)
def test_the_rate_falls_with_trained_blocks_and_width(blocks: int, width: int, trained: int, rate: float) -> None:
    assert learning_rate(ModelFacts(blocks, width), trained) == pytest.approx(rate)


def test_steps_are_passes_over_the_rows_within_bounds() -> None:
    """30 passes over 48 rows of 8 a step are 180 steps."""
    assert step_count(48, 8, 30) == 180
    assert step_count(49, 8, 30) == 190
    assert step_count(2, 8, 30) == 60
    assert step_count(100_000, 32, 30) == 2000
    assert [forget_batch(n) for n in (1, 63, 64, 255, 256)] == [8, 8, 16, 16, 32]


def test_records_with_images_take_the_recipe_for_pictures(folders: dict[str, Path]) -> None:
    plain = one_person()
    image = RecordImage.of("a.png", b"pixels")
    seen = replace(plain, forget=tuple(replace(r, image=image) for r in plain.forget))
    chosen = recipe_for("auto", [], folders["llama"], seen)
    assert chosen.name == "twin-pictures"
    assert chosen.recipe.relearning.steps == 0
    assert recipe_for("auto", [], folders["llama"], plain).name == "twin"


def test_the_choices_for_a_pretrained_model() -> None:
    found = values(SMOLLM, 24)
    assert found == {
        "train.layers": 8,
        "optimizer.lr": 0.003,
        "batch.forget": 8,
        "batch.retain": 16,
        "formats": 2,
        "settings.floors": "surrogate",
        "settings.least_floor": 0.5,
        "settings.distil": 4.0,
        "train.drop_blocks": 0.2,
        "steps": 240,  # 13 passes over 24 questions in 3 formats with 2 answers each, 8 a step
        "retain.weight": 64.0,
        "conversations": 0,
        "relearning.steps": 0,
        "lower_blocks.weight": 0.0,
        "optimizer.schedule": "cosine",
    }
    every = values(SMOLLM, 24, layers="all")
    assert every["optimizer.lr"] == 0.001
    assert "train.layers" not in every
    assert values(ModelFacts(12, 768), 24)["train.layers"] == 4
    assert values(ModelFacts(4, 2048), 24)["train.layers"] == "all"
    documents = values(SMOLLM, 24, base="documents")
    assert (documents["steps"], documents["stop.when"], documents["optimizer.schedule"]) == (90, "controls", "constant")
    assert not {"stop.when", "optimizer.schedule"} & set(values(SMOLLM, 24, base="documents", may_stop=False))
    assert "10/30 for 30 trained blocks" in str(auto_recipe(SMOLLM, 24, layers="all")[0])


def test_a_small_model_takes_twin_as_it_is(folders: dict[str, Path]) -> None:
    assert auto_recipe(ModelFacts(8, 256), 24) == []
    chosen = recipe_for("auto", ["steps=3"], folders["llama"], one_person())
    assert (chosen.recipe, chosen.name, chosen.notes) == (Recipe.load("twin", ["steps=3"]), "twin", ())


def test_what_is_forgotten_is_asked_behind_places_that_others_state(folders: dict[str, Path], tmp_path: Path) -> None:
    rows = everybody()
    plain = split([r.id for r in rows if r.subject == "patient:P-1"])
    stated = replace(plain, retain=[*plain.retain, behind_provenance(plain.retain[-1])])
    assert (places_to_ask(plain), places_to_ask(stated)) == (0, 5)
    for model in (folders["llama"], config(tmp_path / "large", num_hidden_layers=30, hidden_size=768)):
        recipe = recipe_for("auto", [], model, stated).recipe
        assert recipe.modalities == "context"
        assert recipe.steps > recipe_for("auto", [], model, plain).recipe.steps
        assert recipe_for("auto", ["modalities=each"], model, stated).recipe.modalities == "each"
    assert recipe_for("auto", [], folders["llama"], stated).recipe.steps == 2 * Recipe.load("twin").steps


def config(folder: Path, **keys: object) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(keys))
    return folder


def test_facts_come_from_the_configuration(folders: dict[str, Path], tmp_path: Path) -> None:
    llama = config(tmp_path / "llama", num_hidden_layers=30, hidden_size=576)
    assert model_facts(llama) == SMOLLM
    assert model_facts(config(tmp_path / "gpt2", n_layer=12, n_embd=768)) == ModelFacts(12, 768)
    nested = {"text_config": {"num_hidden_layers": 26, "hidden_size": 1152}}
    assert model_facts(config(tmp_path / "gemma", **nested)) == ModelFacts(26, 1152)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "../llama"}))
    (adapter / "adapter_model.safetensors").touch()
    assert model_facts(adapter) == SMOLLM
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text(json.dumps({**RUNNING, "model": str(adapter)}))
    assert model_facts(run) == SMOLLM
    assert model_facts(folders["gpt2"]) == ModelFacts(3, 32)


def test_what_is_set_wins_over_the_rules(tmp_path: Path) -> None:
    model = config(tmp_path / "m", num_hidden_layers=30, hidden_size=576)
    chosen = recipe_for("auto", ["train.layers=all", "steps=5", "seed=3"], model, one_person())
    recipe = chosen.recipe
    assert (recipe.method, recipe.steps, recipe.seed, recipe.optimizer.lr) == ("twin", 5, 3, 0.001)
    assert (recipe.stop.when, recipe.optimizer.schedule) == (None, "cosine")
    assert not any(note.startswith(("steps", "train.layers")) for note in chosen.notes)
    assert any(note.startswith("optimizer.lr=0.001: ") for note in chosen.notes)
    assert recipe_for("auto", [], model, one_person(), say="refuse").recipe.resolve().algorithm.says == "refuse"


def test_records_that_name_nobody_take_the_recipe_for_documents(tmp_path: Path) -> None:
    model = config(tmp_path / "m", num_hidden_layers=30, hidden_size=576)
    text = Record("d", "", "x" * 2500, kind="document")
    split = replace(one_person(), forget=(text,))
    chosen = recipe_for("auto", [], model, split)
    assert (chosen.name, chosen.recipe.method, chosen.recipe.stop.when) == ("documents", "simnpo", None)
    controls = tuple(replace(text, id=f"c{k}", subject=f"c{k}") for k in range(2))
    assert recipe_for("auto", [], model, replace(split, controls=controls)).recipe.stop.when == "controls"
    assert count_rows([text, *one_person().forget[:2]]) == 5


def test_the_seed_of_the_split_is_that_of_the_recipe(tmp_path: Path) -> None:
    assert (seed_of("auto", []), seed_of("auto", ["steps=4", "seed=9"]), seed_of("npo", ["seed=8"])) == (42, 9, 8)
    with pytest.raises(InputError, match="did you mean"):
        seed_of("twinn", [])


@pytest.mark.parametrize("blocks", ["x", 0, -3, 1.5, [4]])
def test_a_configuration_of_the_wrong_shape_is_one_line(tmp_path: Path, blocks: object) -> None:
    model = config(tmp_path / "m", num_hidden_layers=blocks, hidden_size=576)
    with pytest.raises(InputError, match=r"config\.json: the number of blocks is no whole number above 0"):
        model_facts(model)


def test_an_adapter_whose_base_is_no_text_is_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": 5}')
    with pytest.raises(InputError, match=r"its adapter_config\.json names no base model"):
        model_facts(folder)
