"""How the forget and the retain gradient of a step become one: parameter selection, then the gradient rule.

Both may depend on the concept level of the batch, or of each tensor, and on the Fisher information of single rows,
which is measured again every few steps. With adapters, half of the parameters have no gradient before the first step
(B is 0), so the measurement of step 0 is repeated at step 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor

from expunge.corpus.record import LEVELS
from expunge.engine.dataset import RunDataset
from expunge.engine.recipe_config import Selection
from expunge.engine.resolved_recipe import ResolvedRecipe
from expunge.gradients.base import Gradients
from expunge.gradients.fisher import levels_of, mask_gradients, mean_of_squares, top_share
from expunge.gradients.saliency import Side

RowGradient = Callable[[Side, int], Gradients]  # (side, position in the examples) → gradient of one row's loss


class GradientCombiner:
    """Combines gradients; `state` and `restore` for checkpoints."""

    def __init__(self, resolved: ResolvedRecipe, dataset: RunDataset) -> None:
        self._dataset, self._recipe = dataset, resolved.recipe
        self._rule, self._method, self._requirements = resolved.rule, resolved.method, resolved.requirements
        self.needs_separate_gradients = resolved.needs_separate_gradients()
        self._selected: dict[str, Tensor] = {}
        self._level_of: dict[str, str] = {}

    def update_importance(self, step: int, step_in_phase: int, row_gradient: RowGradient) -> None:
        """Measure again, if it is due, which parameters matter to which rows."""
        selection = self._recipe.selection
        if selection is None and not self._requirements.levels_by_parameter:
            return
        settings = selection or Selection()
        if step_in_phase % settings.every and step_in_phase != 1:
            return
        forget = list(dict.fromkeys(self._dataset.forget_batch(step)))[: settings.rows]
        retain = list(dict.fromkeys(self._dataset.retain_batch(step)))
        if not forget or not retain:  # independent coins may draw nobody
            return
        if selection is not None:
            forget_fisher = _fisher("forget", forget, row_gradient)
            retain_fisher = _fisher("retain", retain[: settings.rows], row_gradient)
            self._selected = top_share(forget_fisher, retain_fisher, settings.share)
        if self._requirements.levels_by_parameter:
            groups: dict[str, tuple[Side, list[int]]] = {"L4": ("forget", forget)}
            for level in LEVELS[:-1]:
                rows = [k for k in retain if self._dataset.examples[k].level == level]
                groups[level] = ("retain", rows[: settings.rows])
            self._level_of = levels_of(
                {level: _fisher(side, rows, row_gradient) for level in LEVELS for side, rows in [groups[level]] if rows}
            )

    def combine(self, g_f: Gradients, g_r: Gradients, step: int, scaling: Gradients | None) -> Gradients:
        """The gradient to step along; `scaling` as in `GradientRule.combine`."""
        if self._selected and g_f:
            g_f = mask_gradients(g_f, self._selected)
        alpha: Any = None
        if self._level_of:
            alpha = {name: self._method.projection(self._level_of.get(name)) for name in g_f.keys() | g_r.keys()}
        elif self._requirements.levels:
            alpha = self._method.projection(self._dataset.level_at(step))
        return self._rule.combine(
            g_f,
            g_r,
            weight_f=self._recipe.forget_weight,
            weight_r=self._recipe.retain.weight,
            alpha=alpha,
            scaling=scaling,
        )

    def state(self) -> dict[str, Any]:
        return {"selected": self._selected, "level_of": self._level_of}

    def restore(self, state: dict[str, Any]) -> None:
        self._selected, self._level_of = state["selected"], state["level_of"]


def _fisher(side: Side, rows: Iterable[int], row_gradient: RowGradient) -> Gradients:
    return mean_of_squares(row_gradient(side, k) for k in rows)
