"""The keys of a recipe: everything that decides an unlearning run."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from expunge._config import FrozenModel
from expunge._io import digest
from expunge.corpus.modalities import Modalities
from expunge.engine.optimizer import OptimizerConfig
from expunge.methods.base import RetainLoss
from expunge.models.adapters import TrainableConfig
from expunge.privacy.config import PrivacyConfig

MAX_STEPS, MAX_ROWS = 1_000_000, 1_000_000  # the batches of all steps are dealt before the first one
# Younger than runs that exist: at their default, such a run is still the same run.
LATER_KEYS = ("stop", "formats", "conversations", "relearning", "lower_blocks")


class SimulatedRelearning(FrozenModel):
    """An attacker whom a run meets in its steps: some facts are taught again, and the others must stay forgotten."""

    steps: int = Field(0, ge=0, le=16, description="gradient steps of the attacker; 0 for a run without one")
    radius: float = Field(1.0, gt=0, description="how far these steps go, as the length of the change of parameters")
    share: float = Field(0.33, gt=0, lt=1, description="share of the forgotten facts that the attacker teaches")
    weight: float = Field(0.5, gt=0, le=1, description="share of the forget term that is taken behind the attacker")
    start: float = Field(0.2, ge=0, lt=1, description="share of the run's steps before the first that meets it")


class LowerBlocks(FrozenModel):
    """The limit on what lower blocks bring up of a forgotten answer: no more than about somebody unknown."""

    weight: float = Field(0.0, ge=0, description="factor on it, relative to the forget term; 0 for a run without it")


class Retain(FrozenModel):
    """The retain term."""

    loss: RetainLoss | None = Field(None, description="ce, kl, logit or none; null for the method's own choice")
    weight: float = Field(1.0, ge=0, description="factor on the retain term")
    balance: bool = Field(
        False,
        description="as many rows of a batch from each group: rest of a person, near, far, general knowledge, anchors",
    )
    anchors: bool = Field(
        False, description="also retain the answers about people that the model was never trained on (kl, logit)"
    )


class BatchSize(FrozenModel):
    """Rows per step over all processes."""

    forget: int = Field(32, ge=1, le=MAX_ROWS, description="forget rows per step")
    retain: int = Field(32, ge=1, le=MAX_ROWS, description="retain rows per step")
    micro: int | None = Field(None, ge=1, description="most rows in one forward pass; null for all at once")
    blocks: int = Field(
        1, ge=1, le=MAX_ROWS, description="m: forget batches in a row that one retain gradient serves (m:1)"
    )


class Memory(FrozenModel):
    """Memory against time; results change by rounding at most."""

    prefix_cache: bool = Field(True, description="compute frozen lower blocks once per row and cache their output")
    cache_mib: int = Field(1024, ge=0, description="largest cache held in memory, in MiB; a larger one goes to a file")
    checkpointing: bool = Field(False, description="recompute activations in the backward pass instead of storing them")


class Parallel(FrozenModel):
    """How several processes share the work; ignored by a single process."""

    shard: bool = Field(False, description="shard the frozen blocks over the processes; adapters stay replicated")


class Selection(FrozenModel):
    """Entries that may follow the forget gradient: the largest ratios of forget to retain Fisher information."""

    share: float = Field(0.5, gt=0, le=1, description="share of all trainable entries that may follow it")
    every: int = Field(20, ge=1, description="steps between measurements")
    rows: int = Field(16, ge=1, description="rows per side of a measurement, at most, taken from the step's batches")


class Concepts(FrozenModel):
    """Where concept levels come from, for methods that use them."""

    hierarchy: str | None = Field(
        None,
        description="shipped hierarchy or YAML file: levels of records that have none, "
        "and alpha and beta unless the settings give them",
    )
    dictionary: str | None = Field(None, description="file of names with levels: levels of single answer tokens")


class Phase(FrozenModel):
    """One stretch of a run; a null key takes the value of the recipe."""

    objective: Literal["both", "forget", "retain"] = Field("both", description="which terms are minimized")
    steps: int = Field(ge=1, le=MAX_STEPS, description="optimizer steps")
    lr: float | None = Field(None, gt=0, description="learning rate of this phase")
    layers: str | int | tuple[int, ...] = Field("all", description="blocks that may change, out of the trainable ones")


class Stop(FrozenModel):
    """When a run ends before its last step."""

    when: Literal["controls"] | None = Field(
        None,
        description="controls: as soon as the forget records stand where never-trained controls stand; null: never. "
        "Of a run of phases it ends the phase that forgets; a later one is left out while they stand there still",
    )
    check_every: int = Field(10, ge=1, description="steps between two checks")
    patience: int = Field(2, ge=1, description="checks in a row that must pass")
    tolerance: float = Field(
        0.05,
        ge=0,
        description="nats per token by which the loss of retain records may have risen at a check that passes",
    )
    cooldown: int = Field(
        10, ge=0, description="steps in which the learning rate falls to 0 once the checks have passed"
    )
    rows: int = Field(32, ge=1, description="forget records in a check, at most, and as many retain records")


class RecipeConfig(FrozenModel):
    """Every key of a recipe. `Recipe` adds loading and resolving."""

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
    steps: int = Field(100, ge=1, le=MAX_STEPS, description="optimizer steps of a run without phases")
    phases: tuple[Phase, ...] = Field(
        (), max_length=1000, description="stretches of the run, in order; empty means one of `steps`"
    )
    batch: BatchSize = Field(BatchSize(), description="rows per step")
    formats: int = Field(
        0, ge=0, le=6, description="other formats in which each question is asked too (a quiz, a form, a quotation)"
    )
    conversations: int = Field(
        0, ge=0, le=6, description="conversations about retained facts at whose end each question is asked too"
    )
    lower_blocks: LowerBlocks = Field(
        LowerBlocks(), description="the limit behind lower blocks, where a logit lens reads what the last one hides"
    )
    relearning: SimulatedRelearning = Field(
        SimulatedRelearning(), description="the attacker behind whom the run forgets, so that little training undoes it"
    )
    modalities: Modalities = Field(
        "each",
        description="how a record with picture and name is forgotten: trained, as it was trained; each, also by its "
        "text alone and by its picture alone; context, also behind its place in the tree. A private run resolves to "
        "trained: its accountant counts records",
    )
    privacy: PrivacyConfig | None = Field(
        None, description="differential privacy: clipped and noised gradients; null for none"
    )
    memory: Memory = Field(Memory(), description="memory against time")
    parallel: Parallel = Field(Parallel(), description="what several processes share")
    seed: int = Field(42, description="seed of row order, adapters and draws")
    checkpoint_every: int = Field(25, ge=1, description="steps between checkpoints")
    stop: Stop = Field(Stop(), description="when a run ends before its last step; `steps` is then the bound")

    @property
    def digest(self) -> str:
        """SHA-256 of all keys, without `LATER_KEYS` at their default."""
        return digest(self.model_dump(mode="json"))

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        keys, changed = handler(self), self.changed_keys()
        return {k: v for k, v in keys.items() if k not in LATER_KEYS or k in changed}

    def changed_keys(self) -> list[str]:
        """Keys whose value is not the default."""
        fields = type(self).model_fields.items()
        return [k for k, field in fields if getattr(self, k) != field.get_default(call_default_factory=True)]
