"""Equal effort for every method: the same settings are tried, and one stated rule chooses among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field

from expunge.engine.recipe import Recipe
from expunge.errors import RunFailed

KEEP = 0.95
RULE = (
    f"of the settings that keep at least {KEEP:.0%} of the answer probability on retained documents never given "
    "to the run, the one whose mean answer losses on the forgotten validation documents lie nearest to those "
    "of documents never taught; if none keeps that much, the one that keeps most"
)


class Setting(BaseModel):
    """One trial: the recipe's learning rates times `lr_factor`, its retain weight times `retain_factor`.

    steps   of the optimizer, in all
    Where a recipe keeps nothing beside forgetting (`sequential`), the retain factor changes nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    lr_factor: float = Field(gt=0)
    steps: int = Field(ge=1)
    retain_factor: float = Field(1.0, gt=0)

    def __str__(self) -> str:
        return f"learning rate × {self.lr_factor:g}, retain weight × {self.retain_factor:g}, {self.steps} steps"

    def on(self, recipe: Recipe, share: float = 1.0) -> Recipe:
        """`recipe` under this setting with `share` of the steps; phases keep their proportions.

        An edit has neither rate nor steps: its `share` of neurons takes the factor of the rate.
        """
        edit = recipe.resolve().edit
        if edit is not None:
            strength = min(1.0, getattr(edit, "share", 1.0) * self.lr_factor)
            return recipe.with_overrides([f"settings.share={strength:g}"]) if hasattr(edit, "share") else recipe
        total = max(1, round(self.steps * share))
        lr = recipe.optimizer.lr * self.lr_factor
        parts = [max(1, round(total * p.steps / recipe.resolve().total_steps)) for p in recipe.phases]
        phases = tuple(
            p.model_copy(update={"steps": n, "lr": None if p.lr is None else p.lr * self.lr_factor})
            for p, n in zip(recipe.phases, parts, strict=True)
        )
        return recipe.model_copy(
            update={
                "steps": total,
                "phases": phases,
                "retain": recipe.retain.model_copy(update={"weight": recipe.retain.weight * self.retain_factor}),
                "optimizer": recipe.optimizer.model_copy(update={"lr": lr}),
            }
        )


class Trial(BaseModel):
    """What a setting led to: nats from the never-taught level (0 best), share of answer probability kept.

    `distance` is None where the run diverged.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    setting: Setting
    distance: float | None
    kept: float


def distance(losses: Mapping[str, float], level: Mapping[str, float]) -> float:
    """Mean over cells of |loss - level|, nats per answer token; the keys must be the same."""
    if set(losses) != set(level) or not level:
        raise ValueError(f"different cells: {sorted(losses)} and {sorted(level)}")
    return sum(abs(losses[k] - level[k]) for k in level) / len(level)


def choose(trials: Sequence[Trial], keep: float = KEEP) -> Trial:
    """The trial that `RULE` names, the first of equals; `RunFailed` if every setting diverged."""
    whole = [(t.distance, t) for t in trials if t.distance is not None]
    if not whole:
        raise RunFailed("tuning", f"all {len(trials)} settings diverged", "try smaller learning rates")
    good = [(far, t) for far, t in whole if t.kept >= keep]
    return min(good, key=lambda pair: pair[0])[1] if good else max(whole, key=lambda pair: pair[1].kept)[1]
