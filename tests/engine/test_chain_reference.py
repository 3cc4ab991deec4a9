"""Retained rows of a later request are compared with the model before the first one, guards with that before it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from expunge.engine.chain_reference import KEY, first_model, load_original, same_head
from expunge.engine.recipe import Recipe
from expunge.engine.reference import Reference
from expunge.engine.request_chain import chain_after, split_after
from expunge.engine.unlearn import unlearn
from expunge.errors import InputError
from expunge.models.collate import collate
from expunge.models.language_model import load, merge_adapter
from expunge.models.run_file import read_run_file
from expunge.scope import Scope
from helpers.runs import FEW
from helpers.world import people

KL: dict[str, Any] = {"method": "npo", "batch": FEW, "retain": {"loss": "kl"}, "steps": 2}


def chain(start: Path, out: Path, count: int, plan: Recipe) -> tuple[Path, Sequence[Any]]:
    links: Sequence[Any] = []
    for k in range(1, count + 1):
        split = split_after(people(), Scope.parse(f"patient:P-000{k}-001"), links)
        start = unlearn(start, split, plan, out / f"run{k}", chain=links)
        links = chain_after(start)
    return start, links


@pytest.fixture(scope="module")
def runs(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("reference")
    shutil.copytree(folders["llama"], root / "model")
    chain(root / "model", root, 2, Recipe(**KL))
    return root


def test_a_later_run_says_what_it_compares_with(runs: Path) -> None:
    assert KEY not in read_run_file(runs / "run1")
    assert read_run_file(runs / "run2")[KEY] == "original"
    assert first_model(runs / "run2", chain_after(runs / "run2")) == str(runs / "model")


def test_there_is_no_original_without_need_of_one(runs: Path) -> None:
    links = chain_after(runs / "run1")
    about: dict[str, Any] = {"template": "auto", "dtype": "float32"}
    for plan in ({**KL, "retain": {"loss": "ce"}}, {"method": "ga"}, {"method": "chip"}):
        assert load_original(str(runs / "run1"), links, Recipe(**plan).resolve(), about, None) is None
    assert load_original(str(runs / "run1"), [], Recipe(**KL).resolve(), about, None) is None
    assert KEY not in about


def test_a_chain_whose_beginning_is_gone_has_no_original(runs: Path, tmp_path: Path) -> None:
    links = chain_after(runs / "run2")
    shutil.copytree(runs / "run2", tmp_path / "run2")
    plan, about = Recipe(**KL).resolve(), {"template": "auto", "dtype": "float32"}
    assert load_original(str(tmp_path / "run2"), links, plan, about, None) is None
    assert about[KEY] == "before"
    with pytest.raises(InputError, match="the runs before it are no longer here"):
        load_original(str(tmp_path / "run2"), links, plan, {**about, KEY: "original"}, None)


def test_retained_rows_are_read_off_the_original(folders: dict[str, Path]) -> None:
    lm, other = (load(folders["llama"]) for _ in range(2))
    with torch.no_grad():
        other.module.model.layers[0].mlp.down_proj.weight += 0.5
    assert same_head(lm.module, other.module)
    items = dict(enumerate(lm.template.encode_all(people().trained[:3])))
    batch = collate([items[k] for k in range(3)])
    plain, moved = (Reference(one.module, items, True).outputs([0, 1, 2], batch).logits for one in (lm, other))
    mixed = Reference(lm.module, items, True, original=other.module, original_keys=[1]).outputs([0, 1, 2], batch).logits
    answers = list(range(3)), [len(items[k].answer) for k in range(3)]
    near = {k: torch.allclose(mixed[k, :n], plain[k, :n], atol=1e-5) for k, n in zip(*answers, strict=True)}
    assert near == {0: True, 1: False, 2: True}
    assert torch.allclose(mixed[1, : answers[1][1]], moved[1, : answers[1][1]], atol=1e-5)


def test_models_of_another_head_are_not_mixed(folders: dict[str, Path]) -> None:
    lm, other = (load(folders["llama"]) for _ in range(2))
    with torch.no_grad():
        other.module.get_output_embeddings().weight[0] += 1
    assert not same_head(lm.module, other.module)


def test_the_original_pulls_retained_rows_back(folders: dict[str, Path], tmp_path: Path) -> None:
    """After a run that moved everything, a run with nothing but a retain term returns towards the first model."""
    hard = Recipe(**{**KL, "steps": 6, "optimizer": {"lr": 0.02}, "retain": {"loss": "kl", "weight": 0.01}})
    start, links = chain(folders["llama"], tmp_path, 1, hard)
    split = split_after(people(), Scope.parse("patient:P-0002-001"), links)
    calm = Recipe(**{**KL, "steps": 6, "optimizer": {"lr": 0.005}, "retain": {"loss": "kl", "weight": 1000.0}})
    items = load(folders["llama"]).template.encode_all(split.retain)
    batch = collate(items)

    def distance(run: Path) -> float:
        first, now = (merge_adapter(load(one)).module for one in (folders["llama"], run))
        rows = list(range(len(items)))
        said = [Reference(m, dict(enumerate(items)), True).outputs(rows, batch).logits for m in (first, now)]
        p, q = (logits.log_softmax(-1)[batch.mask] for logits in said)
        return float((p.exp() * (p - q)).sum(-1).mean())

    with_original = unlearn(start, split, calm, tmp_path / "original", chain=links)
    without = unlearn(start, split, calm, tmp_path / "before")
    assert distance(with_original) < distance(start)
    assert distance(with_original) < 0.9 * distance(without)
