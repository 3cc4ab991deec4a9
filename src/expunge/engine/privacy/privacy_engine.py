"""A private run from its plan to its statement: what the loop asks in place of a plain gradient.

Surprising: the losses of a step are not told to anybody, since nothing hides a person in them; events of a private
run have none.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from expunge.corpus import Record
from expunge.engine.dataset import RunDataset
from expunge.engine.forward import ForwardRunner
from expunge.engine.privacy import privacy_state, statement
from expunge.engine.privacy.budget import PrivacyBudget
from expunge.engine.privacy.mechanism import noised, sum_of
from expunge.engine.privacy.per_sample_gradients import AdaptedLayer, adapted
from expunge.engine.privacy.privacy_state import PrivacyLedger
from expunge.engine.privacy.private_dataset import PrivateDataset
from expunge.engine.privacy.self_test import SelfTestResult, self_test
from expunge.engine.recipe import Recipe
from expunge.errors import RunFailed
from expunge.gradients.base import Gradients
from expunge.gradients.saliency import Side
from expunge.methods.base import Requirements, RetainLoss
from expunge.methods.examples import Targets
from expunge.models.prompt_template import PromptTemplate
from expunge.privacy.accountant import Spent

if TYPE_CHECKING:
    from expunge.engine.loop import Loop


class PrivacyEngine:
    """Draws, clips, noises and counts. `ledger` is what a checkpoint holds."""

    def __init__(self, plan: PrivacyBudget, seed: int) -> None:
        self.plan, self._seed = plan, seed
        self.ledger = PrivacyLedger()
        self.tested: SelfTestResult | None = None
        self._layers: tuple[frozenset[str], list[AdaptedLayer]] = (frozenset(), [])

    @classmethod
    def of(
        cls, recipe: Recipe, forget: Sequence[Record], retain: Sequence[Record], folder: Path | None = None
    ) -> PrivacyEngine | None:
        """The private run that `recipe` asks for, None without a section `privacy`.

        folder  of the run: its noise and its secret seed are taken up again if it has begun
        """
        if recipe.privacy is None:
            return None
        plan = PrivacyBudget.of(recipe, forget, retain, privacy_state.recorded_noise(folder))
        found = cls(plan, privacy_state.seed_for(recipe.privacy, folder))
        if folder is not None:
            found.statement()  # now: where an accountant is missing, no run is begun
        return found

    # ---- for the loop -----------------------------------------------------------------------------------------

    def table(
        self,
        template: PromptTemplate,
        recipe: Recipe,
        needs: Requirements,
        targets: Targets,
        forget: Sequence[Record],
        retain: Sequence[Record],
    ) -> PrivateDataset:
        return PrivateDataset(template, recipe, needs, targets, forget, retain, self.plan, self._seed)

    def open(
        self,
        module: Any,
        passes: ForwardRunner,
        table: RunDataset,
        used: Sequence[int],
        parameters: dict[str, nn.Parameter],
    ) -> None:
        """Self-test on what trains in this phase; `RunFailed` if it fails, unless the recipe trains all the same."""
        layers = self._adapted(module, parameters)
        found = self_test(module, passes, table.encoded, used or range(len(table.encoded)), layers, parameters)
        if self.tested is None or self.tested.passed:
            self.tested = found
        self.ledger.withheld = self.ledger.withheld or found.reason
        if not found.passed and self.plan.settings.on_failure == "refuse":
            raise RunFailed(
                "privacy self-test",
                found.reason,
                "set privacy.on_failure: withhold to train without a stated epsilon, or privacy: null",
            )

    def gradient(self, loop: Loop, side: Side, kind: RetainLoss, parameters: dict[str, nn.Parameter]) -> Gradients:
        """The noised gradient of one side of the loop's step; one release, which is charged."""
        table = loop.table
        assert isinstance(table, PrivateDataset)
        self.ledger.charge(side, loop.step, self.plan)
        total = sum_of(
            table.drawn(side, loop.step),
            side,
            kind,
            layers=self._adapted(loop.lm.module, parameters),
            passes=loop.passes,
            losses=loop.losses,
            lengths=[item.length for item in table.encoded],
            parameters=parameters,
            limit=self.plan.settings.clip,
            micro=loop.recipe.batch.micro,
        )
        found = noised(total, self.plan, self._seed, side, loop.step)
        return {name: g.to(parameters[name].dtype) for name, g in found.items()}

    def _adapted(self, module: nn.Module, parameters: dict[str, nn.Parameter]) -> list[AdaptedLayer]:
        names = frozenset(parameters)
        if self._layers[0] != names:
            self._layers = (names, adapted(module, names))
        return self._layers[1]

    # ---- for the run folder -----------------------------------------------------------------------------------

    @cached_property
    def cost(self) -> Spent:
        """(epsilon, delta) of the whole run by all accountants."""
        return self.plan.cost()

    def statement(self, status: str = "running") -> dict[str, Any]:
        return statement.statement(self.plan, self.cost, self.ledger, self.tested, status)

    def begin(self, folder: Path) -> None:
        """Before the first step: keep the seed for a later start, and say what is planned."""
        if self.plan.settings.seed is None:
            privacy_state.keep_seed(folder, self._seed)
        self.write(folder)

    def write(self, folder: Path, status: str = "running") -> None:
        """Say how far the run is."""
        privacy_state.write(folder, self.statement(status))
