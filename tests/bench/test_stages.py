"""A method on a mixed corpus: one run, or two that share the steps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from expunge.bench.stages import key, plan, recipes, run
from expunge.bench.tune import Setting
from expunge.corpus import Record
from expunge.models.language_model import load
from helpers.world import one_person

KNOWN = recipes(("npo", "twin"))
NAMED = tuple(
    Record(f"n{k}", f"Where does Ana{k} live?", f"Oslo {k}", subject=f"s{k}", identifiers=(f"Ana{k}",))
    for k in range(3)
)
NAMELESS = (Record("x", "Where is it?", "here", subject="x"),)


def test_most_methods_take_all_records_in_one_run() -> None:
    (stage,) = plan("npo", KNOWN, (*NAMED, *NAMELESS), Setting(lr_factor=1, steps=8), batch=5, seed=7)
    assert stage.forget == (*NAMED, *NAMELESS)
    assert (stage.recipe.method, stage.recipe.resolve().total_steps, stage.recipe.seed) == ("npo", 8, 7)
    assert (stage.recipe.batch.forget, stage.recipe.batch.retain) == (5, 5)


def test_twin_leaves_records_without_identifiers_to_simnpo_and_shares_the_steps() -> None:
    first, second = plan("twin", KNOWN, (*NAMED, *NAMELESS), Setting(lr_factor=1, steps=8), batch=5, seed=7)
    assert (first.recipe.method, first.forget, first.recipe.resolve().total_steps) == ("twin", NAMED, 6)
    assert (second.recipe.method, second.forget, second.recipe.resolve().total_steps) == ("simnpo", NAMELESS, 2)
    (alone,) = plan("twin", KNOWN, NAMED, Setting(lr_factor=1, steps=8), batch=5, seed=7)
    assert (alone.recipe.method, alone.recipe.resolve().total_steps) == ("twin", 8)


def test_a_method_may_follow_on_another_that_has_half_of_the_steps() -> None:
    before, after = plan("twin", KNOWN, NAMED, Setting(lr_factor=1, steps=8), batch=5, seed=7, first="npo")
    assert (before.recipe.method, before.forget, before.recipe.resolve().total_steps) == ("npo", NAMED, 4)
    assert (after.recipe.method, after.forget, after.recipe.resolve().total_steps) == ("twin", NAMED, 4)


def test_the_key_changes_with_recipe_and_records_only() -> None:
    def of(**changed: object) -> str:
        setting = Setting(lr_factor=1, steps=8)
        asked = {"forget": NAMED, "setting": setting, "batch": 5, "seed": 7} | changed
        return key(plan("npo", KNOWN, **asked))  # type: ignore[arg-type]

    assert of() == of(forget=NAMED[::-1])
    assert len({of(), of(seed=8), of(forget=NAMED[:2]), of(setting=Setting(lr_factor=2, steps=8)), of(batch=4)}) == 5


def test_a_second_run_starts_from_the_model_the_first_one_left(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = one_person()
    half = len(split.forget) // 2
    setting = Setting(lr_factor=5, steps=2)
    stages = [plan("npo", KNOWN, part, setting, 4, 1)[0] for part in (split.forget[:half], split.forget[half:])]
    done = run(stages, folders["gpt2"], split.retain, tmp_path / "both")
    first, start = load(tmp_path / "both" / "run-1"), load(tmp_path / "both" / "joined-1")
    ids = torch.tensor([[5, 9, 30]])
    with torch.no_grad():
        logits = [lm.module(input_ids=ids).logits for lm in (load(folders["gpt2"]), first, start, load(done))]
    torch.testing.assert_close(logits[1], logits[2], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(logits[0], logits[1], atol=1e-4)
    assert not torch.allclose(logits[2], logits[3], atol=1e-4)
    monkeypatch.setattr("expunge.bench.stages.merge_adapter", None)  # a second call makes nothing again
    assert run(stages, folders["gpt2"], split.retain, tmp_path / "both") == done
