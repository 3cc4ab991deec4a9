"""Where the forget and the retain gradient of a step meet: selection of parameters, then the gradient rule.

Both look at the concept level of the batch, or of each tensor, and both may need the Fisher information of single
rows, which is measured anew every so many steps. Surprising: with adapters, half of the parameters have no gradient
before the first step (B is 0), so what is measured at step 0 is measured again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor

from expunge.corpus.record import LEVELS
from expunge.engine.dataset import RunDataset
from expunge.engine.recipe import Recipe, Selection
from expunge.gradients.base import Gradients
from expunge.gradients.fisher import levels_of, mask_gradients, mean_of_squares, top_share
from expunge.gradients.saliency import Side

Example = Callable[[Side, int], Gradients]  # gradient of the loss of one row, a position in the table's items


def needs_separate_gradients(recipe: Recipe) -> bool:
    """Must the two gradients be known apart?"""
    return (
        recipe.build_rule().separate
        or recipe.build_method().requirements().token_weights == "gradient"
        or recipe.selection is not None
        or recipe.batch.blocks > 1
        or recipe.privacy is not None
    )


class GradientCombiner:
    """Combines gradients; `state` and `restore` for checkpoints."""

    def __init__(self, recipe: Recipe, table: RunDataset) -> None:
        self.recipe, self.table = recipe, table
        self.rule, self.method = recipe.build_rule(), recipe.build_method()
        self.needs = self.method.requirements()
        self.selection, self.apart = recipe.selection, needs_separate_gradients(recipe)
        self.chosen: dict[str, Tensor] = {}
        self.level_of: dict[str, str] = {}

    def measure(self, step: int, inside: int, example: Example) -> None:
        """Look again which parameters matter to whom, if it is time; `inside` counts the steps of the phase."""
        if self.selection is None and not self.needs.levels_by_parameter:
            return
        settings = self.selection or Selection()
        if inside % settings.every and inside != 1:
            return
        forget = list(dict.fromkeys(self.table.forget_batch(step)))[: settings.rows]
        retain = list(dict.fromkeys(self.table.retain_batch(step)))
        if self.selection is not None:
            self.chosen = top_share(
                _fisher("forget", forget, example), _fisher("retain", retain[: settings.rows], example), settings.share
            )
        if self.needs.levels_by_parameter:
            groups: dict[str, tuple[Side, list[int]]] = {"L4": ("forget", forget)}
            groups |= {
                level: ("retain", [k for k in retain if self.table.examples[k].level == level][: settings.rows])
                for level in LEVELS[:-1]
            }
            self.level_of = levels_of(
                {level: _fisher(side, rows, example) for level in LEVELS for side, rows in [groups[level]] if rows}
            )

    def combine(self, g_f: Gradients, g_r: Gradients, level: str | None, scaling: Gradients | None) -> Gradients:
        """The gradient to step along; `level` of the batch, `scaling` as in `Rule.combine`."""
        if self.chosen and g_f:
            g_f = mask_gradients(g_f, self.chosen)
        alpha: Any = self.method.projection(level) if self.needs.levels else None
        if self.level_of:
            alpha = {name: self.method.projection(self.level_of.get(name)) for name in g_f.keys() | g_r.keys()}
        return self.rule.combine(
            g_f,
            g_r,
            weight_f=self.recipe.forget_weight,
            weight_r=self.recipe.retain.weight,
            alpha=alpha,
            scaling=scaling,
        )

    def state(self) -> dict[str, Any]:
        return {"chosen": self.chosen, "level_of": self.level_of}

    def restore(self, state: dict[str, Any]) -> None:
        self.chosen, self.level_of = state["chosen"], state["level_of"]


def _fisher(side: Side, rows: Iterable[int], example: Example) -> Gradients:
    return mean_of_squares(example(side, k) for k in rows)
