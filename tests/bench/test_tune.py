"""Equal effort: a setting means the same for every recipe, and one rule chooses."""

from __future__ import annotations

import pytest

from expunge.bench.tune import Setting, Trial, choose, distance
from expunge.engine.recipe import Recipe
from expunge.errors import RunFailed


def trial(distance: float | None, kept: float, steps: int = 1) -> Trial:
    return Trial(setting=Setting(lr_factor=1, steps=steps), distance=distance, kept=kept)


def test_a_setting_scales_the_rate_and_sets_the_steps() -> None:
    recipe = Recipe.load("npo")
    found = Setting(lr_factor=0.5, steps=80).on(recipe)
    assert (found.optimizer.lr, found.resolve().total_steps) == (recipe.optimizer.lr * 0.5, 80)
    assert found.settings == recipe.settings
    assert found.retain == recipe.retain
    assert Setting(lr_factor=1, steps=8, retain_factor=4).on(recipe).retain.weight == 4 * recipe.retain.weight
    assert Setting(lr_factor=1, steps=80).on(recipe, share=0.25).resolve().total_steps == 20
    assert Setting(lr_factor=1, steps=80).on(recipe, share=0.001).resolve().total_steps == 1


def test_phases_keep_their_proportions_and_the_budget_is_that_of_the_others() -> None:
    recipe = Recipe.load("sequential")
    found = Setting(lr_factor=2, steps=2 * recipe.resolve().total_steps).on(recipe)
    assert found.resolve().total_steps == 2 * recipe.resolve().total_steps
    assert [p.steps for p in found.phases] == [2 * p.steps for p in recipe.phases]
    assert [p.lr for p in found.phases] == [None if p.lr is None else 2 * p.lr for p in recipe.phases]
    assert [p.layers for p in found.phases] == [p.layers for p in recipe.phases]


def test_distance_is_the_mean_of_absolute_gaps_so_that_none_cancel() -> None:
    assert distance({"a": 3.0, "b": 1.0}, {"a": 2.0, "b": 2.0}) == 1.0
    with pytest.raises(ValueError, match="different cells"):
        distance({"a": 1.0}, {"b": 1.0})


def test_the_nearest_of_those_that_keep_enough_is_chosen_else_the_one_that_keeps_most() -> None:
    near, far, harmful = trial(1, 0.95), trial(2, 0.99), trial(0.1, 0.94)
    assert choose([far, harmful, near]) == near
    assert choose([harmful, trial(0.05, 0.5)]) == harmful
    first, second = trial(1, 1, steps=1), trial(1, 1, steps=2)
    assert choose([first, second]) == first


def test_a_setting_that_diverged_is_never_chosen() -> None:
    assert choose([trial(None, 0.0), trial(5, 0.0)]).distance == 5
    with pytest.raises(RunFailed, match="all 2 settings diverged"):
        choose([trial(None, 0.0), trial(None, 0.0)])
