"""What an operator wants otherwise than the desk's settings say, without any text of their own."""

from __future__ import annotations

import re
from dataclasses import dataclass

from expunge.errors import InputError

RECIPE = re.compile(r"[a-z][a-z0-9_-]{0,79}")
NUMBERS = r"-?\d[\d.e+-]*|\[[\d, ]*\]|(max )?\d+|\d+(/\d+)?(-\d+(/\d+)?)?"
VALUE = re.compile(rf"{NUMBERS}|[a-z][a-z0-9_-]{{0,39}}")
LAYERS = re.compile(rf"{NUMBERS}|all")
FREE = ("train.modules", "concepts.dictionary", "concepts.hierarchy")  # whose values are names of others


@dataclass(frozen=True)
class PlanWish:
    """What an operator wants otherwise than the desk's settings say; empty for the automatic plan.

    Attributes:
        kind: `unlearn`, `retrain`, `drop` or `suppress`; chosen by the decisions if not given.
        recipe: recipe of the run.
        overrides: `key=value` settings of the recipe.
        seed: seed of the run.
    """

    kind: str | None = None
    recipe: str | None = None
    overrides: tuple[str, ...] = ()
    seed: int | None = None


def check_wish(kind: str, wish: PlanWish, recipe: str) -> None:
    """`InputError` for a recipe that does not exist, settings that it does not have, and free text.

    A plan is read by everybody and copied into certificates, so nothing may be written into it.

    Args:
        kind: kind of the plan.
        wish: what the operator wants.
        recipe: recipe of the run, the wish's or that of the desk's settings.
    """
    if wish.recipe and not RECIPE.fullmatch(wish.recipe):
        raise InputError("recipe", "is not the name of a recipe", "a file is named in desk.yaml")
    overrides = wish.overrides
    for change in overrides:
        _check_words(change)
    from expunge._config import apply_overrides
    from expunge._validation import validate
    from expunge.engine.recipe import Recipe

    if kind == "retrain":  # the settings are those of `expunge train`
        from expunge.engine.train.fine_tune import FineTuneConfig

        validate(FineTuneConfig, apply_overrides({}, overrides), "settings", overrides=overrides)
        return
    problem: InputError | None = None
    for name in ("twin", "documents") if recipe == "auto" else (recipe,):
        try:
            Recipe.load(name, overrides)
            return
        except InputError as error:
            problem = problem or error
    if problem:
        raise problem


def _check_words(change: str) -> None:
    """`InputError` for a setting whose value is no number and no word of a recipe."""
    key, _, value = (part.strip() for part in change.partition("="))
    form = LAYERS if key.rpartition(".")[2] == "layers" else VALUE
    if key in FREE or not form.fullmatch(value):
        raise InputError("settings", "hold text that a plan may not hold", "numbers and words; the rest in desk.yaml")
