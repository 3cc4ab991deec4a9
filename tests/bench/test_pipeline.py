"""Trials mean the same for every recipe, one rule chooses, and an arm is one run or several that share the steps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from expunge.bench.pipeline import Trial, TrialResult, average, choose, key, run_stages, stages
from expunge.corpus import Record
from expunge.engine.recipe import Recipe
from expunge.errors import RunFailed
from expunge.models.language_model import load
from helpers.world import one_person


def result(distance: float | None, kept: float, steps: int = 1) -> TrialResult:
    return TrialResult(setting=Trial(lr_factor=1, steps=steps), distance=distance, kept=kept)


def test_a_trial_scales_the_rate_and_sets_the_steps() -> None:
    recipe = Recipe.load("npo")
    found = Trial(lr_factor=0.5, steps=80).apply(recipe)
    assert (found.optimizer.lr, found.resolve().total_steps) == (recipe.optimizer.lr * 0.5, 80)
    assert found.settings == recipe.settings
    assert found.retain == recipe.retain
    assert Trial(lr_factor=1, steps=8, retain_factor=4).apply(recipe).retain.weight == 4 * recipe.retain.weight
    assert Trial(lr_factor=1, steps=80).apply(recipe, share=0.25).resolve().total_steps == 20
    assert Trial(lr_factor=1, steps=80).apply(recipe, share=0.001).resolve().total_steps == 1


def test_phases_keep_their_proportions() -> None:
    recipe = Recipe.load("sequential")
    found = Trial(lr_factor=2, steps=2 * recipe.resolve().total_steps).apply(recipe)
    assert found.resolve().total_steps == 2 * recipe.resolve().total_steps
    assert [p.steps for p in found.phases] == [2 * p.steps for p in recipe.phases]
    assert [p.lr for p in found.phases] == [None if p.lr is None else 2 * p.lr for p in recipe.phases]
    assert [p.layers for p in found.phases] == [p.layers for p in recipe.phases]


def test_the_nearest_that_keeps_enough_is_chosen() -> None:
    near, far, harmful = result(1, 0.95), result(2, 0.99), result(0.1, 0.94)
    assert choose([far, harmful, near], 0.95) == near
    assert choose([harmful, result(0.05, 0.5)], 0.95) == harmful
    first, second = result(1, 1, steps=1), result(1, 1, steps=2)
    assert choose([first, second], 0.95) == first


def test_a_trial_that_diverged_is_never_chosen() -> None:
    assert choose([result(None, 0.0), result(5, 0.0)], 0.95).distance == 5
    with pytest.raises(RunFailed, match="all trials diverged, 2 in number"):
        choose([result(None, 0.0), result(None, 0.0)], 0.95)


KNOWN = {name: Recipe.load(name) for name in ("npo", "twin", "simnpo")}
NAMED = tuple(
    Record(f"n{k}", f"Where does Ana{k} live?", f"Oslo {k}", subject=f"s{k}", identifiers=(f"Ana{k}",))
    for k in range(3)
)
NAMELESS = (Record("x", "Where is it?", "here", subject="x"),)


def test_most_methods_take_all_records_in_one_run() -> None:
    (stage,) = stages("npo", KNOWN, (*NAMED, *NAMELESS), Trial(lr_factor=1, steps=8), batch=5, seed=7)
    assert stage.forget == (*NAMED, *NAMELESS)
    assert (stage.recipe.method, stage.recipe.resolve().total_steps, stage.recipe.seed) == ("npo", 8, 7)
    assert (stage.recipe.batch.forget, stage.recipe.batch.retain) == (5, 5)


def test_simnpo_takes_the_records_without_identifiers() -> None:
    first, second = stages("twin", KNOWN, (*NAMED, *NAMELESS), Trial(lr_factor=1, steps=8), batch=5, seed=7)
    assert (first.recipe.method, first.forget, first.recipe.resolve().total_steps) == ("twin", NAMED, 6)
    assert (second.recipe.method, second.forget, second.recipe.resolve().total_steps) == ("simnpo", NAMELESS, 2)
    (alone,) = stages("twin", KNOWN, NAMED, Trial(lr_factor=1, steps=8), batch=5, seed=7)
    assert (alone.recipe.method, alone.recipe.resolve().total_steps) == ("twin", 8)


def test_a_method_may_follow_on_another_that_has_half_of_the_steps() -> None:
    before, after = stages("twin", KNOWN, NAMED, Trial(lr_factor=1, steps=8), batch=5, seed=7, after="npo")
    assert (before.recipe.method, before.forget, before.recipe.resolve().total_steps) == ("npo", NAMED, 4)
    assert (after.recipe.method, after.forget, after.recipe.resolve().total_steps) == ("twin", NAMED, 4)


def test_the_key_changes_with_recipe_and_records_only() -> None:
    def of(**changed: object) -> str:
        trial = Trial(lr_factor=1, steps=8)
        asked = {"forget": NAMED, "trial": trial, "batch": 5, "seed": 7} | changed
        return key(stages("npo", KNOWN, **asked))  # type: ignore[arg-type]

    assert of() == of(forget=NAMED[::-1])
    assert len({of(), of(seed=8), of(forget=NAMED[:2]), of(trial=Trial(lr_factor=2, steps=8)), of(batch=4)}) == 5


def test_a_second_run_starts_from_the_model_the_first_one_left(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = one_person()
    half = len(split.forget) // 2
    trial = Trial(lr_factor=5, steps=2)
    parts = [stages("npo", KNOWN, part, trial, 4, 1)[0] for part in (split.forget[:half], split.forget[half:])]
    done = run_stages(parts, folders["gpt2"], split.retain, tmp_path / "both")
    first, start = load(tmp_path / "both" / "run-1"), load(tmp_path / "both" / "joined-1")
    ids = torch.tensor([[5, 9, 30]])
    with torch.no_grad():
        logits = [lm.module(input_ids=ids).logits for lm in (load(folders["gpt2"]), first, start, load(done))]
    torch.testing.assert_close(logits[1], logits[2], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(logits[0], logits[1], atol=1e-4)
    assert not torch.allclose(logits[2], logits[3], atol=1e-4)
    monkeypatch.setattr("expunge.bench.pipeline.merge_adapter", None)  # a second call makes nothing again
    assert run_stages(parts, folders["gpt2"], split.retain, tmp_path / "both") == done


def test_trials_of_several_worlds_are_averaged() -> None:
    joined = average([[result(1, 0.9), result(None, 0.0)], [result(3, 0.7), result(2, 1.0)]])
    assert [(r.distance, r.kept) for r in joined] == [(2, pytest.approx(0.8)), (None, 0.5)]
