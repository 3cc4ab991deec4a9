"""The rows of a private run: which units a step draws, and only those of their records that are ever drawn encoded.

Surprising: there is no sample of the retain set that a run confines itself to; everybody may be drawn in every step,
or the rate that the accountant is told would be wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

from expunge.corpus import Record
from expunge.corpus.record_store import take
from expunge.engine.dataset import RunDataset
from expunge.engine.privacy.budget import PrivacyBudget
from expunge.engine.privacy.unit_sampling import Draw
from expunge.engine.recipe import Recipe
from expunge.gradients.saliency import Side
from expunge.methods.base import Requirements
from expunge.methods.examples import Targets
from expunge.models.prompt_template import PromptTemplate


class PrivateDataset(RunDataset):
    """As `Table`, but a batch is what independent coins say; it may be empty, and its units count, not its rows."""

    def __init__(
        self,
        template: PromptTemplate,
        recipe: Recipe,
        needs: Requirements,
        targets: Targets,
        forget: Sequence[Record],
        retain: Sequence[Record],
        plan: PrivacyBudget,
        seed: int,
    ) -> None:
        self._plan, self._secret = plan, seed
        super().__init__(template, recipe, needs, targets, forget, retain)

    def drawn(self, side: Side, step: int) -> Draw:
        """The units of a step with their rows, as positions in `examples`.

        Where a method wants batches of one concept level, a unit brings its records of that level, perhaps none.
        """
        found = self._draw(side, step)
        if side == "retain":
            return [(unit, [self.retain_index[k] for k in rows]) for unit, rows in found]
        if self._needs.levels:
            allowed = set(self._levels[step][0])
            found = [(unit, [k for k in rows if k in allowed]) for unit, rows in found]
        return [(unit, rows) for unit, rows in found if rows]

    def _draw(self, side: Side, step: int) -> Draw:
        asked = self._plan.sides[side]
        return asked.units.draw(self._secret, side, step, asked.rate, self._plan.settings.records)

    def _forget_rows(self, step: int) -> list[int]:
        return [k for _, rows in self.drawn("forget", step) for k in rows]

    def _retain_rows(self, step: int) -> list[int]:
        return [k for _, rows in self._draw("retain", step) for k in rows]

    def _add_retain(self, pool: Sequence[Record], anchors: Sequence[Record]) -> None:
        drawn = sorted({k for step in range(self._recipe.total_steps) for k in self._retain_rows(step)})
        self.retain_index = [-1] * len(pool)
        for k, record in zip(drawn, take(pool, drawn), strict=True):
            self._append_retain(record, self._template.encode(record), k)
