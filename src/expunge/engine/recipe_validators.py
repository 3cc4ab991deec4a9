"""Combinations of keys that cannot run together, found when a recipe is loaded."""

from __future__ import annotations

from collections.abc import Iterator

from expunge.engine.privacy.validator import privacy_problems
from expunge.engine.recipe_config import BatchSize
from expunge.engine.resolved_recipe import EDIT_KEYS, NEUTRAL_KEYS, Problem, RecipeValidator, ResolvedRecipe


def edit_problems(resolved: ResolvedRecipe) -> Iterator[Problem]:
    """Keys that an edit does not read."""
    recipe = resolved.recipe
    if not resolved.edit:
        return
    unused = [k for k in recipe.changed_keys() if k not in (*EDIT_KEYS, *NEUTRAL_KEYS)]
    if recipe.batch.model_copy(update={"micro": None}) != BatchSize():
        unused.append("batch")
    for key in unused:
        yield Problem(
            key,
            f"has no effect on {recipe.method}, which edits weights after one pass over the records",
            "leave it out; settings and batch.micro are the keys of an edit",
        )


def training_problems(resolved: ResolvedRecipe) -> Iterator[Problem]:
    """Keys of a training recipe that exclude each other."""
    recipe = resolved.recipe
    if resolved.edit:
        return
    if resolved.rule.preconditions and recipe.optimizer.name != "adamw":
        yield Problem(
            "rule_settings.metric",
            f"adam means AdamW's scaling, not {recipe.optimizer.name}'s",
            "set optimizer.name: adamw, or metric: plain",
        )
    if recipe.selection and not resolved.uses_retain:
        yield Problem(
            "selection",
            "compares forget rows with retain rows, and this recipe uses none",
            "set retain.loss: ce, or selection: null",
        )
    if recipe.parallel.shard and recipe.train.which == "full":
        yield Problem(
            "parallel.shard",
            "shards frozen weights, and train.which: full trains them",
            "train an adapter (train.which: lora), or set parallel.shard: false",
        )
    if recipe.parallel.shard and resolved.requirements.alternates:
        yield Problem(
            "parallel.shard",
            f"needs equally many passes in all processes, and {recipe.method} runs a second one for its other answers",
            "set parallel.shard: false",
        )
    if recipe.train.drop_blocks and recipe.train.which == "full":
        yield Problem(
            "train.drop_blocks",
            "leaves adapters out, and train.which: full has none",
            "train an adapter (train.which: lora), or set train.drop_blocks: 0",
        )


def stop_problems(resolved: ResolvedRecipe) -> Iterator[Problem]:
    """Recipes that cannot end before their last step."""
    if resolved.edit or not resolved.may_stop:
        return
    if resolved.recipe.privacy:
        yield Problem(
            "stop.when",
            "looks at records that the privacy budget does not count",
            "set stop.when: null, or privacy: null",
        )
    if all(phase.objective == "retain" for phase in resolved.phases):
        yield Problem("stop.when", "cannot end a run without a phase that forgets", "set stop.when: null")


def format_problems(resolved: ResolvedRecipe) -> Iterator[Problem]:
    """Other formats and conversations of a question where every record counts once."""
    for key in ("formats", "conversations"):
        if getattr(resolved.recipe, key) and (resolved.edit or resolved.recipe.privacy):
            what = "an edit takes no steps" if resolved.edit else "a private run counts every record once"
            yield Problem(key, f"asks each question several times, and {what}", f"set {key}: 0")


def relearning_problems(resolved: ResolvedRecipe) -> Iterator[Problem]:
    """Runs that cannot meet an attacker."""
    recipe = resolved.recipe
    if resolved.edit or not recipe.relearning.steps:
        return
    if recipe.privacy:
        yield Problem("relearning.steps", "teaches records that a private run counts once", "set relearning.steps: 0")
    if recipe.parallel.shard:
        what = "moves all trained weights, and parallel.shard leaves each process a part of them"
        yield Problem("relearning.steps", what, "set relearning.steps: 0, or parallel.shard: false")


def lower_block_problems(resolved: ResolvedRecipe) -> Iterator[Problem]:
    """Runs that cannot read out lower blocks."""
    recipe, key = resolved.recipe, "lower_blocks.weight"
    if resolved.edit or not recipe.lower_blocks.weight:
        return
    if recipe.privacy:
        yield Problem(key, "is a gradient that a private run does not count", f"set {key}: 0")
    if recipe.parallel.shard:
        what = "reads blocks of the whole model, and parallel.shard leaves each process a part of it"
        yield Problem(key, what, f"set {key}: 0, or parallel.shard: false")
    if recipe.memory.checkpointing:
        what = "reads blocks in the middle of a pass, which memory.checkpointing makes again"
        yield Problem(key, what, f"set {key}: 0, or memory.checkpointing: false")


VALIDATORS: tuple[RecipeValidator, ...] = (
    edit_problems,
    training_problems,
    stop_problems,
    privacy_problems,
    format_problems,
    relearning_problems,
    lower_block_problems,
)
