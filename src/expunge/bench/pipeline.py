"""Pipeline stages of an arm, and the rule that chooses among its trials.

`twin` needs identifiers or images to ask about another subject. Records that have neither are suppressed by `simnpo`
in a second run on top of the first; the two share the steps in proportion to their records. A recipe may also follow
on another one, which has half of the steps.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from expunge._config import FrozenModel
from expunge._io import digest, digest_files
from expunge._printable import pluralize
from expunge.corpus import Record
from expunge.engine.recipe import Recipe
from expunge.engine.unlearn import unlearn
from expunge.errors import RunFailed
from expunge.models.language_model import load, merge_adapter
from expunge.scope.split import Split

FALLBACK = "simnpo"


class Trial(FrozenModel):
    """The recipe's learning rates times `lr_factor`, its retain weight times `retain_factor`, `steps` in all.

    `rate` and `retain` take the place of the recipe's values, so that all arms have the same.
    """

    lr_factor: float = Field(1.0, gt=0)
    steps: int = Field(ge=1)
    retain_factor: float = Field(1.0, gt=0)
    rate: float | None = Field(None, gt=0)
    retain: float | None = Field(None, ge=0)

    def __str__(self) -> str:
        rate = f"× {self.lr_factor:g}" if self.rate is None else f"{self.rate:g}"
        weight = f"× {self.retain_factor:g}" if self.retain is None else f"{self.retain:g}"
        return f"learning rate {rate}, retain weight {weight}, {pluralize(self.steps, 'step')}"

    def apply(self, recipe: Recipe, share: float = 1.0) -> Recipe:
        """`recipe` under this trial with `share` of the steps; phases keep their proportions.

        An edit has neither rate nor steps: its `share` of neurons takes the factor of the rate.
        """
        edit = recipe.resolve().edit
        if edit is not None:
            strength = min(1.0, getattr(edit, "share", 1.0) * self.lr_factor)  # a rate means nothing to it
            return recipe.with_overrides([f"settings.share={strength:g}"]) if hasattr(edit, "share") else recipe
        total = max(1, round(self.steps * share))
        factor = self.lr_factor if self.rate is None else self.rate / recipe.optimizer.lr
        lr = recipe.optimizer.lr * self.lr_factor if self.rate is None else self.rate
        parts = [max(1, round(total * p.steps / recipe.resolve().total_steps)) for p in recipe.phases]
        phases = tuple(
            p.model_copy(update={"steps": n, "lr": None if p.lr is None else p.lr * factor})
            for p, n in zip(recipe.phases, parts, strict=True)
        )
        weight = recipe.retain.weight * self.retain_factor if self.retain is None else self.retain
        retain = recipe.retain.model_copy(update={"weight": weight})
        optimizer = recipe.optimizer.model_copy(update={"lr": lr})
        return recipe.model_copy(update={"steps": total, "phases": phases, "retain": retain, "optimizer": optimizer})


class TrialResult(FrozenModel):
    """Distance of a trial (0 best; None where the run diverged) and the share that it keeps."""

    setting: Trial
    distance: float | None
    kept: float


def choose(results: Sequence[TrialResult], min_retention: float) -> TrialResult:
    """The result that `Tuning.rule` names, the first of equals; `RunFailed` if every trial diverged."""
    whole = [(r.distance, r) for r in results if r.distance is not None]
    if not whole:
        raise RunFailed("tuning", f"all trials diverged, {len(results)} in number", "try smaller learning rates")
    good = [(distance, r) for distance, r in whole if r.kept >= min_retention]
    return min(good, key=lambda pair: pair[0])[1] if good else max(whole, key=lambda pair: pair[1].kept)[1]


def average(parts: Sequence[Sequence[TrialResult]]) -> list[TrialResult]:
    """The results of several worlds as one: means for every trial; one that diverged anywhere has no distance."""
    joined = []
    for of_trial in zip(*parts, strict=True):
        far = [r.distance for r in of_trial if r.distance is not None]
        joined.append(
            TrialResult(
                setting=of_trial[0].setting,
                kept=sum(r.kept for r in of_trial) / len(of_trial),
                distance=sum(far) / len(far) if len(far) == len(of_trial) else None,
            )
        )
    return joined


@dataclass(frozen=True)
class Stage:
    """One run: a recipe, and the records that it forgets."""

    recipe: Recipe
    forget: tuple[Record, ...]


def stages(
    name: str,
    recipes: Mapping[str, Recipe],
    forget: Sequence[Record],
    trial: Trial,
    batch: int,
    seed: int,
    after: str = "",
    dictionary: Path | None = None,
) -> tuple[Stage, ...]:
    """The runs of the arm `name`; `recipes` holds its recipe, the fallback's, and `after`, which runs before it.

    `dictionary` gives single words a level in recipes that weigh tokens.
    """
    share = 0.5 if after else 1.0

    def stage(key: str, records: Sequence[Record]) -> Stage:
        recipe = recipes[key].with_overrides([f"seed={seed}"])
        if recipe.resolve().edit is None:
            recipe = recipe.with_overrides([f"batch.forget={batch}", f"batch.retain={batch}"])
        if dictionary and recipe.resolve().requirements.token_weights != "none":
            recipe = recipe.with_overrides([f"concepts.dictionary={dictionary}"])
        recipe = trial.apply(recipe, share * len(records) / len(forget))
        recipe.resolve()  # refuses now what the run would refuse later
        return Stage(recipe, tuple(records))

    before = (stage(after, forget),) if after else ()
    resolved = recipes[name].resolve()
    if resolved.edit or "teacher" not in (resolved.requirements.targets or ()):
        return (*before, stage(name, forget))
    named = [r for r in forget if r.identifiers or r.image]
    nameless = [r for r in forget if not (r.identifiers or r.image)]
    return (*before, *(stage(key, part) for key, part in ((name, named), (FALLBACK, nameless)) if part))


def key(parts: Sequence[Stage]) -> str:
    """A short name that changes with anything that decides the runs; of a dictionary its content does, not its path."""
    return digest([[_identity(s.recipe), sorted(r.id for r in s.forget)] for s in parts])[:8]


def _identity(recipe: Recipe) -> str:
    if not recipe.concepts.dictionary:
        return recipe.digest
    file = Path(recipe.concepts.dictionary)
    content = digest_files(file.parent, [file.name])
    return recipe.with_overrides([f"concepts.dictionary=sha256-{content}"]).digest


def run_stages(
    parts: Sequence[Stage], model: Path, retain: Sequence[Record], folder: Path, template: str = "auto"
) -> Path:
    """Do the runs one on top of the other; returns the last run's folder. Resumes, or returns at once."""
    start = done = model
    for number, stage in enumerate(parts, 1):
        if number > 1:
            start = _merge(done, folder / f"joined-{number - 1}")
        split, run = Split("bench", stage.forget, tuple(retain), ()), folder / f"run-{number}"
        done = unlearn(start, split, stage.recipe, run, template=template)
    return done


def _merge(run_folder: Path, target: Path) -> Path:
    """The model of a run with its adapter merged in, in float32, as a folder that the next run starts from."""
    if not target.is_dir():
        fresh = target.with_name(target.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        merge_adapter(load(run_folder, dtype="float32")).save(fresh)
        fresh.replace(target)
    return target
