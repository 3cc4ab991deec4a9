"""One method on a mixed corpus: in one run, or in several, each on the model that the one before made.

`twin` needs identifiers or pictures to ask about somebody else. Records that have neither are suppressed by `simnpo`
in a second run on top of the first; the two share the steps in proportion to their records. A method may also follow
on another, which has half of the steps.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from expunge._io import digest
from expunge.bench.tune import Setting
from expunge.corpus import Record
from expunge.engine.recipe import Recipe
from expunge.engine.unlearn import unlearn
from expunge.models.language_model import load, merge_adapter
from expunge.scope.split import Split

FALLBACK = "simnpo"


@dataclass(frozen=True)
class Stage:
    """One run: a recipe, and the records that it forgets."""

    recipe: Recipe
    forget: tuple[Record, ...]


def recipes(methods: Sequence[str]) -> dict[str, Recipe]:
    """The recipes of `methods` and of the fallback as shipped now; read once, so that a suite is of a piece."""
    return {name: Recipe.load(name) for name in dict.fromkeys((*methods, FALLBACK))}


def plan(
    method: str,
    known: Mapping[str, Recipe],
    forget: Sequence[Record],
    setting: Setting,
    batch: int,
    seed: int,
    first: str = "",
) -> tuple[Stage, ...]:
    """The runs that `method` needs; `known` holds its recipe and the fallback's.

    first  a recipe in `known` that all of `forget` is given to before, for half of the steps
    """
    share = 0.5 if first else 1.0

    def stage(name: str, records: Sequence[Record]) -> Stage:
        recipe = known[name].with_overrides([f"seed={seed}"])
        if recipe.resolve().edit is None:
            recipe = recipe.with_overrides([f"batch.forget={batch}", f"batch.retain={batch}"])
        shortened = setting.on(recipe, share * len(records) / len(forget))
        shortened.resolve()
        return Stage(shortened, tuple(records))

    before = (stage(first, forget),) if first else ()
    if known[method].resolve().edit or "teacher" not in (known[method].resolve().requirements.targets or ()):
        return (*before, stage(method, forget))
    named = [r for r in forget if r.identifiers or r.image]
    nameless = [r for r in forget if not (r.identifiers or r.image)]
    return (*before, *(stage(name, part) for name, part in ((method, named), (FALLBACK, nameless)) if part))


def key(stages: Sequence[Stage]) -> str:
    """A short name that changes with anything that decides the runs."""
    return digest([[s.recipe.digest, sorted(r.id for r in s.forget)] for s in stages])[:8]


def run(stages: Sequence[Stage], model: Path, given: Sequence[Record], folder: Path) -> Path:
    """Do the runs one on top of the other; returns the last run's folder. Resumes, or returns at once."""
    start = done = model
    for number, stage in enumerate(stages, 1):
        if number > 1:
            start = _joined(done, folder / f"joined-{number - 1}")
        done = unlearn(start, Split("bench", stage.forget, tuple(given), ()), stage.recipe, folder / f"run-{number}")
    return done


def _joined(run_folder: Path, target: Path) -> Path:
    """The model of a run with its adapter folded in, as a folder that the next run starts from."""
    if not target.is_dir():
        fresh = target.with_name(target.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        merge_adapter(load(run_folder)).save(fresh)
        fresh.replace(target)
    return target
