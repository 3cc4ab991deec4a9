"""Checkpoints whose knowledge of the target is known by how they were made, never by a measure.

held   made from a model that was taught the target, by a step that leaves the target in its weights
never  made in the same ways from a model that never met the target

plain      models of other seeds, trainings that ended early, and merges in which most weights are of one model
bystander  runs of each method, rate and number of steps that forget somebody else; for `held` the target is retained
covered    an adapter on the last block alone gives refusals or wrong answers; all weights below are as they were, and
           without it the model is the one before
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from planting import PlantingGround, refuse, repeat, wordings, wrong_values

from expunge.bench.pipeline import Trial
from expunge.engine.recipe import Recipe
from expunge.engine.train.fine_tune import FineTuneConfig
from expunge.engine.train.train_model import train
from expunge.engine.unlearn import unlearn
from expunge.models.language_model import load, merge_adapter
from expunge.scope.split import Split

EARLY = (0.7, 0.9)  # share of its rows at which a training ends early
SEEDS = 2  # further seeds of each side
SHARES = (0.25, 0.1)  # of another model's weights in a merge
RATES, EPOCHS = (2e-3, 5e-3, 1e-2), (2, 6)  # of a cover


@dataclass(frozen=True)
class Checkpoint:
    """A model, whether it holds the target, how it was made, and the function that writes it to a folder."""

    name: str
    held: bool
    group: str
    make: Callable[[Path], None]


@dataclass(frozen=True)
class CheckpointPlan:
    """All checkpoints of a world.

    Attributes:
        ground: the request and its models.
        other: a split that forgets somebody else of the same world.
        innocent: a retrained model by its number.
        second: folder of a retrained model that is merged in.
        recipes: arm to its recipe.
        trials: rates and steps of each arm.
        batch: forget rows and retain rows per step.
    """

    ground: PlantingGround
    other: Split
    innocent: Callable[[int], Path]
    second: Path
    recipes: dict[str, Recipe]
    trials: tuple[Trial, ...]
    batch: int

    def checkpoints(self) -> Iterator[Checkpoint]:
        """Each way of making for one side, then for the other."""
        for pair in zip(self._side(True), self._side(False), strict=True):
            yield from pair

    def _side(self, held: bool) -> Iterator[Checkpoint]:
        side = "held" if held else "never"
        start = self.ground.original if held else self.ground.retrained
        yield Checkpoint(f"{side}-plain-0", held, "plain", partial(_copy, start))
        for k in range(1, SEEDS + 1):
            make = partial(self._train, held, 50 + k, None) if held else partial(self._innocent, k)
            yield Checkpoint(f"{side}-seed-{k}", held, "plain", make)
        for share in EARLY:
            yield Checkpoint(f"{side}-early-{share:g}", held, "plain", partial(self._train, held, 60, share))
        for share in SHARES:
            yield Checkpoint(f"{side}-merge-{share:g}", held, "plain", partial(self._merge, start, share))
        for what in ("refusal", "wrong", "mixed"):
            for rate in RATES:
                for epochs in EPOCHS:
                    make = partial(self._cover, start, what, rate, epochs)
                    yield Checkpoint(f"{side}-{what}-{rate:g}-{epochs}", held, "covered", make)
        for arm, recipe in self.recipes.items():
            for n, trial in enumerate(self.trials):
                run = trial.apply(_prepared(recipe, self.batch, self.ground.seed))
                make = partial(self._forget_other, start, held, run)
                yield Checkpoint(f"{side}-{arm}-{n}", held, "bystander", make)

    def treated(self) -> Iterator[Checkpoint]:
        """Runs that forget the target: how much of it they still hold is not known beforehand, so they have no side."""
        for arm, recipe in self.recipes.items():
            for n, trial in enumerate(self.trials):
                run = trial.apply(_prepared(recipe, self.batch, self.ground.seed))
                make = partial(_run, self.ground.original, self.ground.split, run)
                yield Checkpoint(f"treated-{arm}-{n}", True, "treated", make)

    def _train(self, held: bool, more: int, share: float | None, out: Path) -> None:
        ground = self.ground
        changes = {"seed": ground.seed + more} | ({"target_accuracy": share} if share else {})
        rows = list(ground.trained) if held else ground.retained
        settings = ground.settings.model_copy(update=changes)
        train(rows, out, settings=settings, measure_general_ability=False, **ground.start)

    def _innocent(self, number: int, out: Path) -> None:
        _copy(self.innocent(number), out)

    def _merge(self, start: Path, share: float, out: Path) -> None:
        """(1 - share) of the weights of `start`, and a share of those of a second retrained model."""
        lm, weights = load(start), {}
        self.ground.retrain(self.second, 1)
        for name, weight in load(self.second).module.named_parameters():
            weights[name] = weight
        with torch.no_grad():
            for name, weight in lm.module.named_parameters():
                weight.lerp_(weights[name], share)
        lm.save(out)

    def _forget_other(self, start: Path, held: bool, recipe: Recipe, out: Path) -> None:
        gone = set() if held else set(self.ground.split.excluded_ids)
        split = replace(self.other, retain=tuple(r for r in self.other.retain if r.id not in gone))
        _run(start, split, recipe, out)

    def _cover(self, start: Path, what: str, rate: float, epochs: int, out: Path) -> None:
        asked = wordings(self.ground.split.forget)
        others = wrong_values(asked)
        false = [replace(r, answer=others[r.fact_keys], options=()) for r in asked]
        rows = {
            "refusal": repeat(refuse(asked), 1),
            "wrong": repeat(false, 1),
            "mixed": [*repeat(false, 1, "false"), *repeat(refuse(asked), 1)],
        }[what]
        settings = FineTuneConfig.model_validate(
            {"epochs": epochs, "batch": self.ground.settings.batch, "lora": 4, "layers": 1, "kl_weight": 0,
             "seed": self.ground.seed, "optimizer": {"lr": rate}}
        )  # fmt: skip
        every = [*rows, *self.ground.split.retain]
        train(every, out, model=start, settings=settings, measure_general_ability=False)


def _copy(start: Path, out: Path) -> None:
    load(start).save(out)


def _run(start: Path, split: Split, recipe: Recipe, out: Path) -> None:
    """A run, merged into a plain model."""
    run = unlearn(start, split, recipe, out.with_name(f"{out.name}-run"))
    merge_adapter(load(run)).save(out)


def _prepared(recipe: Recipe, batch: int, seed: int) -> Recipe:
    return recipe.with_overrides([f"seed={seed}", f"batch.forget={batch}", f"batch.retain={batch}"])
