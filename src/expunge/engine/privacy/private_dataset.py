"""The examples of a private run; only records that some step draws are encoded.

The retain side is not a fixed sample of the records: every unit may be drawn in every step, as the accountant assumes.
"""

from __future__ import annotations

from collections.abc import Sequence

from expunge.corpus import Record
from expunge.corpus.record_store import take
from expunge.engine.dataset import RunDataset
from expunge.engine.privacy.budget import PrivacyBudget
from expunge.engine.privacy.unit_sampling import Draw
from expunge.engine.resolved_recipe import ResolvedRecipe
from expunge.gradients.saliency import Side
from expunge.methods.examples import Targets
from expunge.models.prompt_template import PromptTemplate


class PrivateDataset(RunDataset):
    """A `RunDataset` whose batches are drawn by independent coins per unit; a batch may be empty."""

    def __init__(
        self,
        template: PromptTemplate,
        resolved: ResolvedRecipe,
        targets: Targets,
        forget: Sequence[Record],
        retain: Sequence[Record],
        budget: PrivacyBudget,
        seed: int,
    ) -> None:
        self._budget, self._secret = budget, seed
        super().__init__(template, resolved, targets, forget, retain)

    def drawn(self, side: Side, step: int) -> Draw:
        """The units of a step with their rows, as positions in `examples`.

        For a method with batches of one concept level, a unit brings its records of that level, perhaps none.
        """
        units = self._draw(side, step)
        if side == "retain":
            return [(unit, [self.retain_index[k] for k in rows]) for unit, rows in units]
        if self._requirements.levels:
            allowed = set(self._levels[step][0])
            units = [(unit, [k for k in rows if k in allowed]) for unit, rows in units]
        return [(unit, rows) for unit, rows in units if rows]

    def _draw(self, side: Side, step: int) -> Draw:
        part = self._budget.sides[side]
        return part.units.draw(self._secret, side, step, part.rate, self._budget.settings.records)

    def _forget_rows(self, step: int) -> list[int]:
        return [k for _, rows in self.drawn("forget", step) for k in rows]

    def _retain_rows(self, step: int) -> list[int]:
        return [k for _, rows in self._draw("retain", step) for k in rows]

    def _add_retain(self, pool: Sequence[Record], anchors: Sequence[Record]) -> None:
        drawn = sorted({k for step in range(self._resolved.total_steps) for k in self._retain_rows(step)})
        self.retain_index = [-1] * len(pool)
        for k, record in zip(drawn, take(pool, drawn), strict=True):
            self._append_retain(record, self._template.encode(record), k)
