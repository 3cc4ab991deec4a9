"""A recipe: everything that decides a run, frozen. The same object is the API, the command line and the record.

YAML with `extends:` for inheritance (a shipped recipe by name, or a file beside), `--set a.b=c` on top. Unknown
keys are errors that name the nearest key.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from expunge._io import digest
from expunge.corpus.modalities import Modalities
from expunge.engine.distributed import world_size
from expunge.engine.optimizer import OptimizerConfig
from expunge.errors import InputError, nearest
from expunge.gradients.base import RULES, GradientRule
from expunge.methods.base import METHODS, Method, RetainLoss, UnlearningMethod
from expunge.methods.editing import WeightEdit
from expunge.models.adapters import TrainableConfig
from expunge.privacy.config import PrivacyConfig

if TYPE_CHECKING:
    from expunge.concepts.hierarchy import Hierarchy


EDIT_TAKES = ("method", "settings", "batch", "seed")  # keys that mean something where weights are edited at once
HARMLESS = ("memory", "checkpoint_every")  # they change no result, so they may stand beside


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Retain(_Part):
    """The retain term. `loss: null` takes the method's own."""

    loss: RetainLoss | None = Field(None, description="ce, kl, logit or none; null for the method's own choice")
    weight: float = Field(1.0, ge=0, description="factor on the retain term")
    balance: bool = Field(
        False,
        description="as many rows of a batch from each group: rest of a person, near, far, general knowledge, anchors",
    )
    anchors: bool = Field(False, description="also keep what is said about people the model never met (kl, logit)")


class BatchSize(_Part):
    """Rows per step over all processes."""

    forget: int = Field(32, ge=1, description="forget rows per step")
    retain: int = Field(32, ge=1, description="retain rows per step")
    micro: int | None = Field(None, ge=1, description="most rows in one forward pass; null for all at once")
    blocks: int = Field(1, ge=1, description="m: forget batches in a row that one retain gradient serves (m:1)")


class Memory(_Part):
    """Memory against time. Nothing here changes the result but for rounding."""

    prefix_cache: bool = Field(True, description="compute frozen lower blocks once per row and keep their output")
    cache_mib: int = Field(1024, ge=0, description="most of it in memory, in MiB; what is larger goes to a file")
    checkpointing: bool = Field(False, description="compute a block again backward rather than keep its activations")


class Parallel(_Part):
    """What several processes share (see docs/guides/scale.md); a process alone ignores it."""

    shard: bool = Field(False, description="cut the frozen blocks over the processes; adapters stay whole everywhere")


class Selection(_Part):
    """Which entries may follow the forget gradient: those that forget rows lean on more than retain rows (Fisher)."""

    share: float = Field(0.5, gt=0, le=1, description="share of all trainable entries that may follow it")
    every: int = Field(20, ge=1, description="steps after which it is measured anew")
    rows: int = Field(16, ge=1, description="most rows of each side that are measured, out of the step's batches")


class Concepts(_Part):
    """Where concept levels come from, for methods that use them."""

    hierarchy: str | None = Field(
        None,
        description="shipped hierarchy or YAML file: levels of records that have none, "
        "and alpha and beta unless the settings give them",
    )
    dictionary: str | None = Field(None, description="file of names with levels: levels of single answer tokens")


class Phase(_Part):
    """One stretch of a run; what is not given is the recipe's own."""

    objective: Literal["both", "forget", "retain"] = Field("both", description="which terms are minimized")
    steps: int = Field(ge=1, description="optimizer steps")
    lr: float | None = Field(None, gt=0, description="learning rate of this phase")
    layers: str | int | tuple[int, ...] = Field("all", description="blocks that may change, out of the trainable ones")


class Recipe(_Part):
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
        found: UnlearningMethod = _validated(cls, given, "recipe.settings")
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
        rule: GradientRule = _validated(RULES.get(name, "recipe.rule"), self.rule_settings, "recipe.rule_settings")
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
        changed: Recipe = _validated(Recipe, apply_sets(self.model_dump(mode="json"), sets), "recipe")
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
        """A shipped recipe by name (`npo`) or a YAML file, with `extends:` followed and `sets` applied."""
        raw = apply_sets(read(name), sets)
        recipe: Recipe = _validated(cls, raw, f"recipe {name}")
        return recipe.checked()


@cache
def _hierarchy(name: str) -> Hierarchy:
    from expunge.concepts.hierarchy import Hierarchy

    return Hierarchy.load(name)


def _validated(cls: Any, raw: dict[str, Any], where: str) -> Any:
    """Build `cls` from `raw`; one clear line for the first thing that is wrong, naming the nearest key."""
    try:
        return cls(**raw)
    except ValidationError as error:
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")  # it may be why another is missing
        field = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            *path, key = first["loc"]
            known = _section(cls, path).model_fields
            raise InputError(where, f'unknown key "{field}"', nearest(str(key), known)) from error
        given = "" if first["type"] == "missing" else f" (given: {first['input']!r})"
        raise InputError(f"{where}: {field}", first["msg"] + given) from error
    except TypeError as error:
        raise InputError(where, "expected keys and values") from error


def _section(model: type[BaseModel], path: Sequence[str | int]) -> type[BaseModel]:
    """The model that stands at `path`, also inside a tuple of models."""
    for part in path:
        field = model.model_fields.get(str(part))
        inside = (field.annotation, *get_args(field.annotation)) if field else ()
        model = next((t for t in inside if isinstance(t, type) and issubclass(t, BaseModel)), model)
    return model


def shipped() -> list[str]:
    """Names of the recipes that come with the package."""
    folder = resources.files("expunge.recipes")
    return sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml"))


def _source(name: str | Path, beside: Path | None) -> tuple[str, Path | None, str]:
    path = Path(name)
    if beside and not path.is_absolute() and (beside / path).is_file():
        path = beside / path
    if path.suffix in (".yaml", ".yml") or path.is_file():
        if not path.is_file():
            raise InputError(str(path), "there is no such recipe file" if not path.is_dir() else "is a folder")
        try:
            return path.read_text("utf-8"), path.parent, str(path)
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(str(path), f"could not be read ({error})") from error
    if str(name) not in shipped():
        raise InputError("recipe", f'there is no recipe "{name}"', nearest(str(name), shipped()))
    return resources.files("expunge.recipes").joinpath(f"{name}.yaml").read_text("utf-8"), None, f"recipe {name}"


def read(name: str | Path, beside: Path | None = None, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    """The raw mapping of a recipe with its `extends:` chain merged, children over parents."""
    text, folder, where = _source(name, beside)
    if where in seen:
        raise InputError(where, "extends itself (" + " -> ".join((*seen, where)) + ")", "break the circle")
    try:
        raw = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise InputError(f"{where}{line}", f"not valid YAML ({getattr(error, 'problem', error)})") from error
    if not isinstance(raw, dict):
        raise InputError(where, "a recipe is a mapping of keys to values")
    parent = raw.pop("extends", None)
    if parent is not None and not isinstance(parent, str):
        raise InputError(f"{where}: extends", f"{parent!r} is no name", "name one shipped recipe or one file")
    return merge(read(parent, folder, (*seen, where)), raw) if parent else raw


def merge(parent: dict[str, Any], child: dict[str, Any]) -> dict[str, Any]:
    """`child` over `parent`, mapping by mapping. A child that names another method drops the parent's settings."""
    merged = dict(parent)
    if "method" in child and child["method"] != parent.get("method"):
        merged = {k: v for k, v in merged.items() if k not in ("settings", "rule", "rule_settings")}
    for key, value in child.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def apply_sets(raw: dict[str, Any], sets: list[str] | tuple[str, ...]) -> dict[str, Any]:
    """`raw` with every `a.b=c` applied, the last word counting; values are YAML (`3`, `true`, `[1, 2]`, `null`)."""
    change: dict[str, Any] = {}
    for entry in sets:
        path, sign, value = entry.partition("=")
        if not sign or not path.strip():
            raise InputError(f"--set {entry}", "expected key=value", "for example --set optimizer.lr=0.001")
        *parents, last = path.strip().split(".")
        inner = change
        for part in parents:
            if not isinstance(inner.get(part), dict):
                inner[part] = {}
            inner = inner[part]
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InputError(f"--set {entry}", "the value is not valid YAML") from error
        if isinstance(parsed, str):
            with suppress(ValueError):  # YAML 1.1 reads 1e-3 as text
                parsed = float(parsed)
        inner[last] = parsed
    return merge(raw, change)
