"""Recipes: load one from YAML, change keys, resolve it for a run.

A YAML recipe may name a parent in `extends:` (a shipped recipe, or a file relative to it); `--set a.b=c` comes last.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Any, Self

from expunge._config import apply_overrides, find_yaml, merge, shipped_names
from expunge._printable import abbreviate
from expunge._summary import short_repr
from expunge._validation import ConfigError, validate
from expunge._yaml import load_yaml
from expunge.engine.recipe_config import RecipeConfig
from expunge.engine.recipe_validators import VALIDATORS
from expunge.engine.resolved_recipe import ResolvedRecipe, build
from expunge.errors import InputError

SHIPPED = resources.files("expunge.recipes")
MAX_PARENTS = 32
RESETS = {"method": ("settings", "rule", "rule_settings")}  # keys that a child with another method does not inherit


@short_repr("method", "steps", "phases", "optimizer.name", "optimizer.lr", "train.which", "seed")
class Recipe(RecipeConfig):
    """Everything that decides an unlearning run. The API, the command line and `recipe.yaml` share this object."""

    @classmethod
    def load(cls, name: str | Path, overrides: Sequence[str] = ()) -> Recipe:
        """A shipped recipe by name (`npo`) or a YAML file.

        Args:
            name: recipe name or path; `extends:` is followed.
            overrides: `a.b=c` changes, applied in order.

        Raises:
            InputError: an unknown key, method, rule or setting, or keys that exclude each other.
        """
        raw = apply_overrides(read(name), overrides, RESETS)
        return validate(cls, raw, f"recipe {name}", overrides=overrides)._checked(overrides)

    def with_overrides(self, overrides: Sequence[str]) -> Recipe:
        """This recipe with `a.b=c` changes; raises as `load` does."""
        raw = apply_overrides(self.model_dump(mode="json"), overrides, RESETS)
        return validate(Recipe, raw, "recipe", overrides=overrides)._checked(overrides)

    def _checked(self, overrides: Sequence[str]) -> Self:
        """This recipe if it resolves; `InputError` also for a change of `steps` that the phases would ignore."""
        if self.phases and any(change.partition("=")[0].strip() == "steps" for change in overrides):
            what = "has no effect beside phases, which have steps of their own"
            raise InputError("--set steps", what, "change phases, or set phases=[] as well")
        try:
            self.resolve()
        except ConfigError as error:
            raise error.blamed_on(overrides) from error
        return self

    def resolve(self) -> ResolvedRecipe:
        """Build what the recipe names; `InputError` for the first thing that cannot run."""
        resolved = build(self)
        for problem in chain.from_iterable(validator(resolved) for validator in VALIDATORS):
            raise InputError(f"recipe: {problem.where}", problem.what, problem.hint)
        return resolved


def shipped() -> list[str]:
    """Names of the recipes that come with the package."""
    return shipped_names(SHIPPED, "recipe")


def read(name: str | Path, beside: Path | None = None, children: tuple[str, ...] = ()) -> dict[str, Any]:
    """The keys of a recipe merged over those of its `extends:` chain.

    Args:
        name: recipe name or path.
        beside: folder that relative paths start from.
        children: recipes that extend this one, as resolved paths, to detect a circle.
    """
    text, folder, where = find_yaml(name, "recipe", SHIPPED, beside)
    place = str((folder / Path(where).name).resolve()) if folder else where
    if place in children:
        raise InputError(where, f"extends itself ({' -> '.join((*children, place))})", "break the circle")
    if len(children) >= MAX_PARENTS:
        raise InputError(where, f"stands behind {MAX_PARENTS} recipes that extend one another", "shorten the chain")
    raw = load_yaml(text, where)
    parent = raw.pop("extends", None)
    if parent is not None and not isinstance(parent, str):
        raise InputError(f"{where}: extends", f"{abbreviate(parent)} is no name", "name one shipped recipe or one file")
    return merge(read(parent, folder, (*children, place)), raw, RESETS) if parent else raw
