"""A recipe: everything that decides a run, frozen. The same object is the API, the command line and the record.

YAML with `extends:` for inheritance (a shipped recipe by name, or a file beside), `--set a.b=c` on top. Unknown
keys are errors that name the nearest key.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml
from pydantic import Field

from expunge._config import FrozenModel, apply_overrides, find_yaml, load_yaml, merge, shipped_names, validate
from expunge._io import digest
from expunge.corpus.modalities import Modalities
from expunge.engine.distributed import world_size
from expunge.engine.optimizer import OptimizerConfig
from expunge.errors import InputError
from expunge.gradients.base import RULES, GradientRule
from expunge.methods.base import METHODS, Method, RetainLoss, UnlearningMethod
from expunge.methods.editing import WeightEdit
from expunge.models.adapters import TrainableConfig
from expunge.privacy.config import PrivacyConfig

if TYPE_CHECKING:
    from expunge.concepts.hierarchy import Hierarchy


SHIPPED = resources.files("expunge.recipes")
RESETS = {"method": ("settings", "rule", "rule_settings")}  # another method drops what the parent set for its own
EDIT_TAKES = ("method", "settings", "batch", "seed")  # keys that mean something where weights are edited at once
HARMLESS = ("memory", "checkpoint_every")  # they change no result, so they may stand beside


class Retain(FrozenModel):
    """The retain term. `loss: null` takes the method's own."""

    loss: RetainLoss | None = Field(None, description="ce, kl, logit or none; null for the method's own choice")
    weight: float = Field(1.0, ge=0, description="factor on the retain term")
    balance: bool = Field(
        False,
        description="as many rows of a batch from each group: rest of a person, near, far, general knowledge, anchors",
    )
    anchors: bool = Field(False, description="also keep what is said about people the model never met (kl, logit)")


class BatchSize(FrozenModel):
    """Rows per step over all processes."""

    forget: int = Field(32, ge=1, description="forget rows per step")
    retain: int = Field(32, ge=1, description="retain rows per step")
    micro: int | None = Field(None, ge=1, description="most rows in one forward pass; null for all at once")
    blocks: int = Field(1, ge=1, description="m: forget batches in a row that one retain gradient serves (m:1)")


class Memory(FrozenModel):
    """Memory against time. Nothing here changes the result but for rounding."""

    prefix_cache: bool = Field(True, description="compute frozen lower blocks once per row and keep their output")
    cache_mib: int = Field(1024, ge=0, description="most of it in memory, in MiB; what is larger goes to a file")
    checkpointing: bool = Field(False, description="compute a block again backward rather than keep its activations")


class Parallel(FrozenModel):
    """What several processes share (see docs/guides/scale.md); a process alone ignores it."""

    shard: bool = Field(False, description="cut the frozen blocks over the processes; adapters stay whole everywhere")


class Selection(FrozenModel):
    """Which entries may follow the forget gradient: those that forget rows lean on more than retain rows (Fisher)."""

    share: float = Field(0.5, gt=0, le=1, description="share of all trainable entries that may follow it")
    every: int = Field(20, ge=1, description="steps after which it is measured anew")
    rows: int = Field(16, ge=1, description="most rows of each side that are measured, out of the step's batches")


class Concepts(FrozenModel):
    """Where concept levels come from, for methods that use them."""

    hierarchy: str | None = Field(
        None,
        description="shipped hierarchy or YAML file: levels of records that have none, "
        "and alpha and beta unless the settings give them",
    )
    dictionary: str | None = Field(None, description="file of names with levels: levels of single answer tokens")


class Phase(FrozenModel):
    """One stretch of a run; what is not given is the recipe's own."""

    objective: Literal["both", "forget", "retain"] = Field("both", description="which terms are minimized")
    steps: int = Field(ge=1, description="optimizer steps")
    lr: float | None = Field(None, gt=0, description="learning rate of this phase")
    layers: str | int | tuple[int, ...] = Field("all", description="blocks that may change, out of the trainable ones")


class Recipe(FrozenModel):
    """Everything that decides an unlearning run."""

    method: str = Field(description="name of a registered method")
    settings: dict[str, Any] = Field(default_factory=dict, description="the method's own settings")
    rule: str | None = Field(None, description="gradient rule; null for the method's own choice")
    rule_settings: dict[str, Any] = Field(default_factory=dict, description="settings of the gradient rule")
    selection: Selection | None = Field(None, description="which parameters may follow the forget gradient; null: all")
    concepts: Concepts = Field(Concepts(), description="where concept levels come from")
    forget_weight: float = Field(1.0, ge=0, description="factor on the forget term")
    retain: Retain = Field(Retain(), description="the retain term")
    train: TrainableConfig = Field(TrainableConfig(), description="which parameters may change")
    optimizer: OptimizerConfig = Field(OptimizerConfig(), description="optimizer and learning rate")
    steps: int = Field(100, ge=1, description="optimizer steps of a run without phases")
    phases: tuple[Phase, ...] = Field((), description="stretches of the run, in order; empty means one of `steps`")
    batch: BatchSize = Field(BatchSize(), description="rows per step")
    cues: Modalities = Field(
        "each",
        description="how a record with picture and name is forgotten: as trained, or each: also "
        "by its words alone and by its picture alone. A private run draws records as they were trained",
    )
    privacy: PrivacyConfig | None = Field(
        None, description="differential privacy: noise on what people give; null: none"
    )
    memory: Memory = Field(Memory(), description="memory against time")
    parallel: Parallel = Field(Parallel(), description="what several processes share")
    seed: int = Field(42, description="seed of row order, adapters and draws")
    checkpoint_every: int = Field(25, ge=1, description="steps between checkpoints")

    def plan(self) -> tuple[Phase, ...]:
        """The phases, or the one that a recipe without phases means."""
        return self.phases or (Phase(steps=self.steps),)

    @property
    def forgets_by(self) -> Modalities:
        """`cues`, but as trained in a private run, whose accountant counts records; a form is no record of its own."""
        return "trained" if self.privacy else self.cues

    @property
    def total_steps(self) -> int:
        """Steps of all phases; an edit is one."""
        return 1 if self.build_edit() else sum(phase.steps for phase in self.plan())

    def _build(self) -> UnlearningMethod:
        cls = METHODS.get(self.method, "recipe.method")
        hierarchy = self.hierarchy()
        strengths = {"alpha": hierarchy.alpha, "beta": hierarchy.beta} if hierarchy else {}
        given = {name: value for name, value in strengths.items() if name in cls.model_fields} | self.settings
        found: UnlearningMethod = validate(cls, given, "recipe.settings")
        return found

    def build_method(self) -> Method:
        """The method with its settings; `InputError` naming the nearest method or setting, or for an edit."""
        found = self._build()
        if not isinstance(found, Method):
            raise InputError(
                "recipe.method",
                f"{self.method} edits weights at once and has no loss to minimize",
                "use a method that trains",
            )
        return found

    def build_edit(self) -> WeightEdit | None:
        """The edit with its settings, where the method is one."""
        found = self._build()
        return found if isinstance(found, WeightEdit) else None

    def hierarchy(self) -> Hierarchy | None:
        """The concept hierarchy that the recipe names."""
        return _hierarchy(self.concepts.hierarchy) if self.concepts.hierarchy else None

    def build_rule(self) -> GradientRule:
        """The gradient rule with its settings."""
        name = self.rule or self.build_method().rule
        rule: GradientRule = validate(RULES.get(name, "recipe.rule"), self.rule_settings, "recipe.rule_settings")
        return rule

    @property
    def retain_loss(self) -> RetainLoss:
        if self.build_edit():
            return "none"
        return self.retain.loss or self.build_method().retain

    @property
    def uses_retain(self) -> bool:
        """Does any phase look at retained records?"""
        return any(
            p.objective == "retain" or (p.objective == "both" and self.retain_loss != "none") for p in self.plan()
        )

    @property
    def digest(self) -> str:
        return digest(self.model_dump(mode="json"))

    def to_yaml(self) -> str:
        """All keys; of an edit those that decide something, and what was changed."""
        said = self.model_dump(mode="json")
        if self.build_edit():
            said = {k: v for k, v in said.items() if k in EDIT_TAKES or k in self._changed()}
            said["batch"] = {"micro": self.batch.micro}
        return yaml.safe_dump(said, sort_keys=False, allow_unicode=True)

    def _changed(self) -> list[str]:
        """Keys whose value is not the default."""
        return [
            k
            for k, field in Recipe.model_fields.items()
            if getattr(self, k) != field.get_default(call_default_factory=True)
        ]

    def with_sets(self, sets: list[str] | tuple[str, ...]) -> Recipe:
        """This recipe with `a.b=c` changes (values are YAML)."""
        changed: Recipe = validate(Recipe, apply_overrides(self.model_dump(mode="json"), sets, RESETS), "recipe")
        return changed.checked()

    def checked(self) -> Recipe:
        """Fail now, not in the middle of a run, if method, rule or settings are unknown."""
        if self.build_edit():
            return self._checked_edit()
        rule = self.build_rule()
        if rule.preconditions and self.optimizer.name != "adamw":
            raise InputError(
                "recipe: rule_settings.metric",
                f"adam means AdamW's scaling, not {self.optimizer.name}'s",
                "set optimizer.name: adamw, or metric: plain",
            )
        if self.selection and not self.uses_retain:
            raise InputError(
                "recipe: selection",
                "compares forget rows with retain rows, and this recipe uses none",
                "set retain.loss: ce, or selection: null",
            )
        if self.parallel.shard and self.train.which == "full":
            raise InputError(
                "recipe: parallel.shard",
                "cuts frozen weights, and train.which: full lets them train",
                "train an adapter (train.which: lora), or set parallel.shard: false",
            )
        if self.train.drop_blocks and self.train.which == "full":
            raise InputError(
                "recipe: train.drop_blocks",
                "leaves adapters out, and train.which: full has none",
                "train an adapter (train.which: lora), or set train.drop_blocks: 0",
            )
        if self.privacy:
            from expunge.engine.privacy.validator import validate_private

            validate_private(self)
        return self

    def _checked_edit(self) -> Recipe:
        wrong = [k for k in self._changed() if k not in (*EDIT_TAKES, *HARMLESS)]
        if self.batch.model_copy(update={"micro": None}) != BatchSize():
            wrong.append("batch")
        if wrong:
            raise InputError(
                f"recipe: {wrong[0]}",
                f"means nothing to {self.method}, which edits weights after one look at the records",
                "leave it out; settings and batch.micro are what it takes",
            )
        if world_size() > 1:
            raise InputError("launch", f"{self.method} is one process", "start it without torchrun")
        return self

    @classmethod
    def load(cls, name: str | Path, sets: list[str] | tuple[str, ...] = ()) -> Recipe:
        """A shipped recipe by name (`twin`) or a YAML file, with `extends:` followed and `sets` applied."""
        raw = apply_overrides(read(name), sets, RESETS)
        recipe: Recipe = validate(cls, raw, f"recipe {name}")
        return recipe.checked()


@cache
def _hierarchy(name: str) -> Hierarchy:
    from expunge.concepts.hierarchy import Hierarchy

    return Hierarchy.load(name)


def shipped() -> list[str]:
    """Names of the recipes that come with the package."""
    return shipped_names(SHIPPED)


def read(name: str | Path, beside: Path | None = None, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    """The raw mapping of a recipe with its `extends:` chain merged, children over parents."""
    text, folder, where = find_yaml(name, "recipe", SHIPPED, beside)
    if where in seen:
        raise InputError(where, "extends itself (" + " -> ".join((*seen, where)) + ")", "break the circle")
    raw = load_yaml(text, where)
    parent = raw.pop("extends", None)
    if parent is not None and not isinstance(parent, str):
        raise InputError(f"{where}: extends", f"{parent!r} is no name", "name one shipped recipe or one file")
    return merge(read(parent, folder, (*seen, where)), raw, RESETS) if parent else raw
