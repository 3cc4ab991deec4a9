"""A recipe whose names are looked up and whose defaults are filled in: built once, then passed on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import yaml

from expunge._validation import validate
from expunge.concepts.hierarchy import Hierarchy
from expunge.engine.recipe_config import Phase, RecipeConfig
from expunge.errors import InputError
from expunge.gradients.base import RULES, GradientRule
from expunge.methods.base import METHODS, Method, Requirements, RetainLoss, UnlearningMethod
from expunge.methods.editing import WeightEdit

EDIT_KEYS = ("method", "settings", "batch", "seed")  # keys that an edit reads
NEUTRAL_KEYS = ("memory", "checkpoint_every")  # keys that change no result


class Problem(NamedTuple):
    """Why a recipe cannot run: key, reason, remedy."""

    where: str
    what: str
    hint: str


@dataclass(frozen=True)
class ResolvedRecipe:
    """Everything that a run needs to know of its recipe.

    Attributes:
        recipe: the keys; `modalities` as the run applies it.
        algorithm: the method, or the edit, with its settings.
        rule: the gradient rule with its settings; unused by an edit.
        hierarchy: the concept hierarchy that the recipe names.
        phases: at least one.
        retain_loss: the recipe's choice, else the method's.
    """

    recipe: RecipeConfig
    algorithm: UnlearningMethod
    rule: GradientRule
    hierarchy: Hierarchy | None
    phases: tuple[Phase, ...]
    retain_loss: RetainLoss

    @property
    def edit(self) -> WeightEdit | None:
        """The weight edit, None for a method that trains."""
        return self.algorithm if isinstance(self.algorithm, WeightEdit) else None

    @property
    def method(self) -> Method:
        """The method that trains; `InputError` for an edit."""
        if not isinstance(self.algorithm, Method):
            raise InputError(
                "recipe.method",
                f"{self.recipe.method} edits weights and has no loss to minimize",
                "use a method that trains",
            )
        return self.algorithm

    @property
    def requirements(self) -> Requirements:
        """What the method needs with these settings."""
        return self.method.requirements()

    @property
    def uses_retain(self) -> bool:
        """Whether a phase draws retain records."""
        return not self.edit and any(self.retain_loss_in(phase) != "none" for phase in self.phases)

    def retain_loss_in(self, phase: Phase) -> RetainLoss:
        """The retain loss of a phase: `ce` where a phase without another term would have none."""
        if phase.objective == "forget":
            return "none"
        return "ce" if phase.objective == "retain" and self.retain_loss == "none" else self.retain_loss

    @property
    def total_steps(self) -> int:
        """Steps of all phases; an edit is one step."""
        return 1 if self.edit else sum(phase.steps for phase in self.phases)

    @property
    def may_stop(self) -> bool:
        """Whether the run may end before its last step."""
        return self.recipe.stop.when is not None

    @property
    def single_process_reason(self) -> str:
        """Why the run is limited to one process; empty if it is not."""
        if self.edit:
            return f"the method {self.recipe.method}"
        return "a private run" if self.recipe.privacy else ""

    def needs_separate_gradients(self) -> bool:
        """Whether the forget and the retain gradient must be known separately."""
        recipe = self.recipe
        return (
            self.rule.separate
            or self.requirements.token_weights == "gradient"
            or recipe.selection is not None
            or recipe.batch.blocks > 1
            or recipe.privacy is not None
        )

    def is_sharded(self, processes: int) -> bool:
        """Whether every forward pass needs all processes."""
        return self.recipe.parallel.shard and processes > 1

    def to_yaml(self, notes: Sequence[str] = ()) -> str:
        """All keys; of an edit those that it reads and those that were changed. `notes` stand above as comments."""
        keys = self.recipe.model_dump(mode="json")
        if self.edit:
            keys = {k: v for k, v in keys.items() if k in EDIT_KEYS or k in self.recipe.changed_keys()}
            keys["batch"] = {"micro": self.recipe.batch.micro}
        head = "".join(f"# {line}\n" for note in notes for line in note.splitlines())
        return head + yaml.safe_dump(keys, sort_keys=False, allow_unicode=True)


RecipeValidator = Callable[[ResolvedRecipe], Iterator[Problem]]


def build(recipe: RecipeConfig) -> ResolvedRecipe:
    """Look up and build what `recipe` names, without judging the combination.

    Raises:
        InputError: an unknown method, setting, rule or hierarchy, with the nearest known name.
    """
    cls = METHODS.get(recipe.method, "recipe.method")
    hierarchy = Hierarchy.load(recipe.concepts.hierarchy) if recipe.concepts.hierarchy else None
    strengths = {"alpha": hierarchy.alpha, "beta": hierarchy.beta} if hierarchy else {}
    settings = {name: value for name, value in strengths.items() if name in cls.model_fields} | recipe.settings
    algorithm = validate(cls, settings, "recipe.settings", section="settings")
    own_rule, own_loss = (algorithm.rule, algorithm.retain) if isinstance(algorithm, Method) else ("sum", "none")
    rule = RULES.get(recipe.rule or own_rule, "recipe.rule")
    if recipe.privacy and isinstance(algorithm, Method):
        recipe = recipe.model_copy(update={"modalities": "trained"})
    return ResolvedRecipe(
        recipe=recipe,
        algorithm=algorithm,
        rule=validate(rule, recipe.rule_settings, "recipe.rule_settings", section="rule_settings"),
        hierarchy=hierarchy,
        phases=recipe.phases or (Phase(steps=recipe.steps),),
        retain_loss="none" if isinstance(algorithm, WeightEdit) else recipe.retain.loss or own_loss,
    )
