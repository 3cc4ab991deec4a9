"""`--recipe auto`: a recipe scaled to the model and to how much there is to forget, by rules that are printed.

The shipped recipes were chosen on models of a few blocks. What carries over to pretrained models and what has to be
scaled was measured on a model of 30 blocks x 576 (docs/guides/tune.md, "Where the rules come from"):

* the rate of a shipped recipe holds while about ten blocks train, and has to fall in proportion beyond;
* a quarter of the blocks, the last ones, forgets as well as all of them, and the rest runs from the cache;
* steps follow from the rows to forget;
* what is forgotten in the trained words alone comes back in a table or a gap, so each question is asked in
  other formats too;
* where records of the corpus state their place in the tree, each question is asked behind its place too;
* `twin` holds true answers where a surrogate's are, and follows its teacher more closely than the true answer's floor;
  it takes all its steps with a falling rate, because at a constant one its losses move by more from check to check than
  never-trained people differ. A method without such a target ends where never-trained people stand.

The exponent of the width is taken from the literature on low-rank adapters and was not measured here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from expunge._io import read_object
from expunge.corpus import Record
from expunge.corpus.modalities import can_state_place
from expunge.corpus.provenance import states_place
from expunge.engine.recipe import Recipe
from expunge.engine.stop_controls import has_surrogate
from expunge.errors import InputError
from expunge.models.adapters import Layers, block_stack, chosen_blocks
from expunge.models.run_file import run_facts
from expunge.models.source import base_of_adapter, base_of_run
from expunge.scope.split import Split

AUTO = "auto"
SMALL_BLOCKS, SMALL_WIDTH = 8, 256  # models up to this size take the shipped recipe as it is
RATE, RATE_BLOCKS, RATE_WIDTH = 0.003, 10, 576  # the rate that holds up to so many trained blocks of such a width
TRAINED_SHARE = 4  # one block of so many trains
FORMATS = 2  # in which each question is asked too
TWIN = {  # keys that differ from the shipped recipe, and why
    "settings.floors": ("surrogate", "a true answer ends as likely as it is about somebody the model never met"),
    "settings.least_floor": (0.5, "nats per token under which it would come out"),
    "settings.distil": (4.0, "what the model says matters more than how unlikely the true answer is"),
    "train.drop_blocks": (0.2, "each part of the change must do alone, so that a little training does not undo it"),
    "retain.weight": (64.0, "the weight with which these keys were chosen"),
    "conversations": (0, "not tried on a model of this size"),
    "relearning.steps": (0, "not tried on a model of this size"),
    "lower_blocks.weight": (0.0, "not tried on a model of this size"),
}
TWIN_PASSES = 13  # over all forget rows; a row is drawn with the true answer and with the surrogate's
PASSES = 30  # of other methods, at most
LEAST_STEPS, MOST_STEPS = 60, 2000
RETAIN_ROWS = 16  # per step
PLACES = 2000  # retained records that are looked at for one that states its place


@dataclass(frozen=True)
class ModelFacts:
    """What the rules need to know of a model: number of blocks and hidden size."""

    blocks: int
    width: int

    @property
    def is_small(self) -> bool:
        """Whether the shipped recipes were chosen on models like this one."""
        return self.blocks <= SMALL_BLOCKS and self.width <= SMALL_WIDTH


@dataclass(frozen=True)
class Choice:
    """A key of the recipe, the value that a rule gives it, and why."""

    key: str
    value: Any
    reason: str

    def __str__(self) -> str:
        return f"{self.key}={self.value}: {self.reason}"


def auto_recipe(
    facts: ModelFacts, forget_rows: int, *, layers: Layers | None = None, base: str = "twin", may_stop: bool = True
) -> list[Choice]:
    """The changes of a shipped recipe for a model and an amount of records; none for a small model.

    Args:
        facts: the model.
        forget_rows: records to forget, windows of a document counted one by one.
        layers: `train.layers` if it is given, else the last quarter of the blocks.
        base: the recipe that is changed.
        may_stop: whether a run of another method than `twin` has controls to stop at.
    """
    if facts.is_small:
        return []
    chosen: list[Choice] = []
    if layers is None:
        last = max(4, math.ceil(facts.blocks / TRAINED_SHARE))
        layers = "all" if last >= facts.blocks else last
        why = f"the last quarter of {facts.blocks} blocks; the others run once and are cached"
        chosen.append(Choice("train.layers", layers, why if layers != "all" else "a model of few blocks"))
    trained = len(chosen_blocks(layers, facts.blocks))
    chosen.append(Choice("optimizer.lr", learning_rate(facts, trained), rate_reason(facts, trained)))
    batch = forget_batch(forget_rows)
    chosen.append(Choice("batch.forget", batch, f"for {forget_rows} records to forget"))
    chosen.append(Choice("batch.retain", RETAIN_ROWS, "retained rows cost as much as forgotten ones"))
    if base == "twin":
        rows = forget_rows * 2 * (1 + FORMATS)
        steps = step_count(rows, batch, TWIN_PASSES)
        chosen.append(Choice("formats", FORMATS, "what is forgotten in one format comes back in another"))
        chosen += [Choice(key, value, why) for key, (value, why) in TWIN.items()]
        chosen.append(Choice("steps", steps, f"{TWIN_PASSES} passes over {rows} rows, {batch} a step"))
        chosen.append(Choice("optimizer.schedule", "cosine", "answers come to rest where their targets are"))
        return chosen
    steps = step_count(forget_rows, batch, PASSES)
    chosen.append(Choice("steps", steps, f"at most: {PASSES} passes over {forget_rows} rows, {batch} a step"))
    if may_stop:
        chosen.append(Choice("stop.when", "controls", "the run ends where never-trained people stand"))
        chosen.append(Choice("optimizer.schedule", "constant", "the end is not known beforehand; it falls at the end"))
    return chosen


def learning_rate(facts: ModelFacts, trained: int) -> float:
    """The rate for `trained` blocks, to two digits: `RATE` * min(1, 10 / trained) * min(1, sqrt(576 / width))."""
    depth, width = min(1.0, RATE_BLOCKS / trained), min(1.0, math.sqrt(RATE_WIDTH / facts.width))
    return float(f"{RATE * depth * width:.2g}")


def rate_reason(facts: ModelFacts, trained: int) -> str:
    """How `learning_rate` comes about."""
    parts = [f"{RATE:g}"]
    if trained > RATE_BLOCKS:
        parts.append(f"{RATE_BLOCKS}/{trained} for {trained} trained blocks")
    if facts.width > RATE_WIDTH:
        parts.append(f"sqrt({RATE_WIDTH}/{facts.width}) for the width")
    return " x ".join(parts) if len(parts) > 1 else f"{trained} trained blocks of width {facts.width}"


def forget_batch(rows: int) -> int:
    """Forget rows of a step: 8, 16 from 64 rows on, 32 from 256 on."""
    return 8 if rows < 64 else 16 if rows < 256 else 32


def step_count(rows: int, batch: int, passes: int) -> int:
    """Steps for `passes` over `rows`, rounded up to tens, between `LEAST_STEPS` and `MOST_STEPS`."""
    steps = 10 * math.ceil(passes * rows / batch / 10)
    return min(MOST_STEPS, max(LEAST_STEPS, steps))


@dataclass(frozen=True)
class ChosenRecipe:
    """A loaded recipe, the shipped one that it stands on, and the rules that changed it."""

    recipe: Recipe
    name: str
    choices: tuple[Choice, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """One line for each rule, for people."""
        return tuple(map(str, self.choices))


def recipe_for(
    name: str, overrides: Sequence[str], model: str | Path, split: Split, say: str | None = None
) -> ChosenRecipe:
    """The recipe called `name`; `auto` is chosen for the model and the records.

    Args:
        name: a shipped recipe, a YAML file, or `auto`.
        overrides: `a.b=c` changes, which win over the rules.
        model: folder, run directory or hub id; only its configuration is read where that is enough.
        split: what is to be forgotten.
        say: what the model says instead, `stranger` or `refuse`; None leaves it to the recipe.

    Raises:
        InputError: as `Recipe.load` does, or the model cannot be read, or the method has no such choice.
    """
    chosen = _recipe_for(name, overrides, model, split)
    return replace(chosen, recipe=with_say(chosen.recipe, say)) if say else chosen


def with_say(recipe: Recipe, say: str) -> Recipe:
    """The recipe with another choice of what the model says instead."""
    algorithm = recipe.resolve().algorithm
    if "say" in type(algorithm).model_fields:
        return recipe.with_overrides([f"settings.say={say}"])
    if getattr(algorithm, "loss", "") == "twin":
        return recipe.with_overrides([f"settings.twin.say={say}"])
    if algorithm.says == say:
        return recipe
    raise InputError("--say", f"the method {recipe.method} does not decide what the model says instead", "use twin")


def _recipe_for(name: str, overrides: Sequence[str], model: str | Path, split: Split) -> ChosenRecipe:
    if name != AUTO:
        return ChosenRecipe(Recipe.load(name, overrides), name)
    asks = any(has_surrogate(r) for r in split.forget)
    base = "twin" if asks or not split.forget else "documents"
    shipped = "twin-pictures" if base == "twin" and any(r.image for r in split.forget) else base
    keys = {change.partition("=")[0].strip() for change in overrides}
    plain = Recipe.load(shipped, overrides)
    layers = plain.train.layers if "train.layers" in keys else None
    may_stop = len({r.subject or r.id for r in split.controls}) > 1
    facts = model_facts(model)
    rows = count_rows(split.forget)
    behind = places_to_ask(split) if base == "twin" and "modalities" not in keys else 0
    choices = auto_recipe(facts, rows + behind, layers=layers, base=base, may_stop=may_stop)
    if behind:
        why = f"other records state their place in the tree; {behind} to forget are asked behind theirs too"
        choices.append(Choice("modalities", "context", why))
        if facts.is_small:
            steps = round(plain.steps * (1 + behind / rows))
            choices.append(Choice("steps", steps, "as many passes over more rows"))
    choices = [choice for choice in choices if choice.key not in keys]
    changes = [f"{choice.key}={choice.value}" for choice in choices]
    return ChosenRecipe(Recipe.load(shipped, [*changes, *overrides]), shipped, tuple(choices))


def seed_of(name: str, overrides: Sequence[str]) -> int:
    """The seed of the recipe that `recipe_for` will choose, which the split needs; `auto` has that of `twin`."""
    if name != AUTO:
        return Recipe.load(name, overrides).seed
    return Recipe.load("twin", [change for change in overrides if change.partition("=")[0].strip() == "seed"]).seed


def count_rows(records: Sequence[Record]) -> int:
    """Rows that the records become: one each, and one per 1,000 characters of a document."""
    return sum(max(1, math.ceil(len(r.answer) / 1000)) if r.kind == "document" else 1 for r in records)


def places_to_ask(split: Split) -> int:
    """Records to forget that can be asked behind their place in the tree; 0 where no record states its own.

    At most `PLACES` retained records are looked at.
    """
    if not any(states_place(r) for r in chain(split.forget, islice(split.retain, PLACES))):
        return 0
    return sum(can_state_place(r) for r in split.forget)


def model_facts(model: str | Path) -> ModelFacts:
    """Blocks and width of a model, from its configuration; the model itself is loaded where that does not tell.

    A run or an adapter is as large as the model that it started from.
    """
    path = Path(model).expanduser()
    if about := run_facts(path):
        return model_facts(base_of_run(path, about))
    config_file = path / "config.json"
    if not config_file.is_file() and (path / "adapter_config.json").is_file():
        return model_facts(base_of_adapter(path))
    if config_file.is_file():
        config = read_object(config_file)
        config = config.get("text_config") or config
        blocks, width = (
            next((config[k] for k in keys if k in config), None)
            for keys in (("num_hidden_layers", "n_layer", "num_layers"), ("hidden_size", "n_embd", "d_model"))
        )
        for name, value in (("number of blocks", blocks), ("hidden size", width)):
            if value is not None and (not isinstance(value, int) or value < 1):
                raise InputError(str(config_file), f"the {name} is no whole number above 0", "bring the file back")
        if blocks and width:
            return ModelFacts(blocks, width)
    from expunge.models.language_model import load

    module = load(model, device="cpu").module
    return ModelFacts(block_stack(module)[1], int(module.get_input_embeddings().weight.shape[1]))
