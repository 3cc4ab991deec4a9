"""What a person can get wrong: one clear line, exit code 2, nothing half-written."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from expunge.corpus import load_corpus
from expunge.engine.recipe import Recipe
from expunge.engine.unlearn import unlearn
from expunge.errors import InputError
from expunge.scope import Scope
from helpers.cli import TARGET, Cli, make_model

TINY = ("--layers", 1, "--width", 32, "--heads", 2, "--vocabulary", 300, "--context", 64, "--epochs", 1)


def rows(count: int = 6) -> list[dict[str, Any]]:
    return [
        {"id": f"r{k}", "prompt": f"Where does P{k % 3} live?", "answer": f"town {k}", "subject": f"P{k % 3}"}
        for k in range(count)
    ]


def written(folder: Path, lines: list[Any]) -> Path:
    path = folder / "records.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def refused(cli: Cli, out: Path, *words: object) -> str:
    """The one line of a refused command that has left nothing behind."""
    result = cli(*words, "--out", out)
    assert result.code == 2
    assert result.out == ""
    assert not out.exists()
    assert result.line.startswith("error: ")
    return result.line


def test_broken_json_is_reported_with_its_line(cli: Cli, tmp_path: Path) -> None:
    lines: list[Any] = rows(5000)
    lines[4710] = '{"prompt": "half'
    line = refused(cli, tmp_path / "out", "train", "--data", written(tmp_path, lines))
    assert "records.jsonl:4711: not valid JSON" in line


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": None}, ":3: the answer is empty; fill it in"),
        ({"answer": " "}, ":3: the answer is empty; fill it in"),
        ({"id": "r0"}, ':3: duplicate id "r0", first used at'),
        ({"concept": "L5"}, ':3: unknown concept "L5"'),
    ],
)
def test_a_bad_row_is_reported_with_its_line(cli: Cli, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    lines = rows()
    lines[2] |= change
    assert message in refused(cli, tmp_path / "out", "train", "--data", written(tmp_path, lines))


def test_an_answer_longer_than_the_context_writes_nothing(cli: Cli, tmp_path: Path) -> None:
    lines = rows()
    lines[2]["answer"] = "x1 " * 200
    line = refused(cli, tmp_path / "out", "train", "--data", written(tmp_path, lines), *TINY)
    assert 'record "r2": prompt and answer take' in line
    assert "the model reads at most 64; shorten it" in line


def test_the_corrected_data_are_accepted_in_the_same_folder(cli: Cli, tmp_path: Path) -> None:
    lines = rows()
    lines[2]["answer"] = "x1 " * 200
    refused(cli, tmp_path / "out", "train", "--data", written(tmp_path, lines), *TINY)
    assert cli("train", "--data", written(tmp_path, rows()), *TINY, "--out", tmp_path / "out").code == 3


@pytest.mark.parametrize(
    ("scope", "message"),
    [
        ("subject=P9", 'no record has subject="P9"; did you mean "P'),
        ("subject=P0 or subject=P1 or subject=P2", "names all 6 trained records; leave something to retain"),
        ("subjekt=P0", 'unknown attribute "subjekt"; did you mean "subject"?'),
        ("subject=P0 and subject=P1", "matches no record"),
        ("(subject=P0", 'the "(" is never closed: it stands at character 1'),
    ],
)
def test_a_scope_that_fits_nothing_or_everything_is_refused(
    cli: Cli, tmp_path: Path, model: Path, scope: str, message: str
) -> None:
    data = written(tmp_path, rows())
    assert message in refused(cli, tmp_path / "out", "unlearn", "--model", model, "--data", data, "--scope", scope)


def test_an_empty_retain_set_is_refused_where_the_recipe_needs_one(tmp_path: Path, world: Path, model: Path) -> None:
    split = replace(Scope.parse(TARGET).resolve(load_corpus(world)), retain=())
    with pytest.raises(InputError, match=r"retain set: is empty, .*; give a smaller scope, or retain.loss: none"):
        unlearn(model, split, Recipe.load("grad_diff"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unknown_level_of_the_tree_names_the_nearest(cli: Cli, tmp_path: Path, world: Path, model: Path) -> None:
    line = refused(cli, tmp_path / "out", "unlearn", "--model", model, "--data", world, "--scope", "pateint:P-0001-003")
    assert 'unknown level "pateint"; did you mean "patient"?' in line


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("method=npoo", 'recipe.method: unknown method "npoo"; did you mean "npo"?'),
        ("optimiser.lr=0.1", 'unknown key "optimiser"; did you mean "optimizer"?'),
        ("optimizer.rl=0.1", 'unknown key "optimizer.rl"; did you mean'),
        ("rule=projekt", 'unknown gradient rule "projekt"; did you mean "project"?'),
        ("steps=none", "steps"),
        ("steps", "--set steps: expected key=value"),
    ],
)
def test_an_unknown_name_in_a_recipe_names_the_nearest(
    cli: Cli, tmp_path: Path, world: Path, model: Path, setting: str, message: str
) -> None:
    assert message in refused(
        cli, tmp_path / "out", "unlearn", "--model", model, "--data", world, "--scope", TARGET, "--set", setting
    )


def test_an_unknown_recipe_names_the_nearest(cli: Cli, tmp_path: Path, world: Path, model: Path) -> None:
    line = refused(
        cli, tmp_path / "out", "unlearn", "--model", model, "--data", world, "--scope", TARGET, "--recipe", "twim"
    )
    assert 'there is no recipe "twim"; did you mean "twin"?' in line


def test_a_model_folder_without_weights_is_refused(cli: Cli, tmp_path: Path, world: Path, model: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(model, broken, ignore=shutil.ignore_patterns("*.safetensors"))
    for words in (("unlearn", "--model", broken), ("audit", "--original", model, "--unlearned", broken)):
        line = refused(cli, tmp_path / "out", *words, "--data", world, "--scope", TARGET)
        assert f"{broken}: holds no model weights; expected model.safetensors in it" in line


def test_a_model_folder_that_is_not_there_is_refused(cli: Cli, tmp_path: Path, world: Path) -> None:
    line = refused(cli, tmp_path / "out", "unlearn", "--model", tmp_path / "gone", "--data", world, "--scope", TARGET)
    assert "there is no such model folder" in line


def test_a_file_of_weights_that_was_cut_short_is_refused(cli: Cli, tmp_path: Path, world: Path, model: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(model, broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    line = refused(cli, tmp_path / "out", "unlearn", "--model", broken, "--data", world, "--scope", TARGET)
    assert f"{weights}: is no whole safetensors file" in line


def test_a_tokenizer_of_another_vocabulary_is_refused(cli: Cli, tmp_path: Path, world: Path, model: Path) -> None:
    other = make_model(world, tmp_path / "other", vocabulary=500)
    mixed = tmp_path / "mixed"
    shutil.copytree(model, mixed)
    shutil.copy(other / "tokenizer.json", mixed / "tokenizer.json")
    line = refused(cli, tmp_path / "out", "unlearn", "--model", mixed, "--data", world, "--scope", TARGET)
    assert "its tokenizer has 500 entries but the model embeds 400; use the tokenizer that belongs to the model" in line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--width", 32, "--heads", 5), "heads: 5 heads do not divide a width of 32"),
        (("--layers", 0), "train: layers: must be"),
        (("--architecture", "lama"), 'unknown architecture "lama"; did you mean "llama"?'),
        (("--set", "optimizer.name=adamm"), "--set optimizer.name=adamm: must be"),
        (("--set", "epoch=3"), '--set epoch=3: unknown key "epoch"; did you mean "epochs"?'),
        (("--model", "some/where", "--layers", 2), "--layers: has no meaning beside --model; use --train-layers"),
        (("--lora", 8), "--lora: has no meaning without --model"),
        (("--dtype", "bfloat16"), "--dtype: has no meaning without --model"),
        (("--no-general-ability",), "--no-general-ability: has no meaning without --model"),
        (("--model", "some/where", "--lora", 0), "train: lora: must be at least 1"),
        (("--model", "some/where", "--lora", "few"), "train: lora: must be a whole number"),
        (("--lr", 0), "train: optimizer.lr: must be greater than 0"),
        (("--model", "some/where", "--lr", "-1"), "train: optimizer.lr: must be greater than 0"),
        (("--tokenizer-from", "nowhere"), "nowhere: holds no tokenizer"),
        (("--exclude-scope", "subject=P9"), 'no record has subject="P9"'),
    ],
)
def test_train_refuses_invalid_settings(cli: Cli, tmp_path: Path, words: tuple[object, ...], message: str) -> None:
    assert message in refused(cli, tmp_path / "out", "train", "--data", written(tmp_path, rows()), *words)


def test_a_world_refuses_bad_settings_and_foreign_files(cli: Cli, tmp_path: Path) -> None:
    assert (
        'unknown world "hopsital"; did you mean "hospital"?'
        in cli("data", "generate", "hopsital", "--out", tmp_path / "a.jsonl").line
    )
    assert (
        "world hospital: patients: must be at least 4"
        in cli("data", "generate", "hospital", "--patients", 2, "--out", tmp_path / "a.jsonl").line
    )
    assert (
        'unknown key "patient"; did you mean "patients"?'
        in cli("data", "generate", "hospital", "--set", "patient=9", "--out", tmp_path / "a.jsonl").line
    )
    assert list(tmp_path.iterdir()) == []
    mine = tmp_path / "mine.jsonl"
    mine.write_text("precious")
    assert (
        "exists and has no world.json beside it"
        in cli("data", "generate", "hospital", "--preset", "tiny", "--out", mine).line
    )
    assert mine.read_text() == "precious"
