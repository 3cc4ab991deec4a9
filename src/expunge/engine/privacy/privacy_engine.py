"""The private side of a run, from its budget to its statement; builds the dataset and the gradient source of its loop.

Losses of a private step are not reported: they are not noised.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from expunge.corpus import Record
from expunge.engine.dataset import RunDataset
from expunge.engine.forward import ForwardRunner
from expunge.engine.gradient_source import Means, Parameters, Term
from expunge.engine.loss_inputs import LossInputs
from expunge.engine.privacy import privacy_state
from expunge.engine.privacy.budget import PrivacyBudget
from expunge.engine.privacy.mechanism import add_noise, clipped_unit_sum
from expunge.engine.privacy.per_sample_gradients import AdaptedLayer, adapted_layers
from expunge.engine.privacy.privacy_state import PrivacyLedger
from expunge.engine.privacy.private_dataset import PrivateDataset
from expunge.engine.privacy.self_test import SelfTestResult, self_test
from expunge.engine.privacy.statement import build_statement
from expunge.engine.resolved_recipe import ResolvedRecipe
from expunge.engine.step import StepComputer
from expunge.errors import RunFailed
from expunge.gradients.base import Gradients
from expunge.methods.examples import Targets
from expunge.models.prompt_template import PromptTemplate
from expunge.privacy.accountant import PrivacyCost


class PrivacyEngine:
    """Budget, secret seed, releases and self-test of a private run."""

    def __init__(self, budget: PrivacyBudget, seed: int) -> None:
        self.budget, self.seed = budget, seed
        self.ledger = PrivacyLedger()
        self.test_result: SelfTestResult | None = None

    @classmethod
    def of(
        cls, resolved: ResolvedRecipe, forget: Sequence[Record], retain: Sequence[Record], folder: Path | None = None
    ) -> PrivacyEngine | None:
        """The engine of a recipe; None without a section `privacy`.

        Args:
            resolved: the recipe.
            forget: forget records.
            retain: retain records.
            folder: run directory; the noise and the seed of a run that has begun are used again.
        """
        if resolved.recipe.privacy is None:
            return None
        budget = PrivacyBudget.of(resolved, forget, retain, privacy_state.recorded_noise(folder))
        engine = cls(budget, privacy_state.seed_for(resolved.recipe.privacy, folder))
        if folder is not None:
            engine.statement()  # fails before the run begins if an accountant is missing
        return engine

    def dataset(
        self,
        template: PromptTemplate,
        resolved: ResolvedRecipe,
        targets: Targets,
        forget: Sequence[Record],
        retain: Sequence[Record],
    ) -> PrivateDataset:
        """The examples of the run, with batches drawn by independent coins."""
        return PrivateDataset(template, resolved, targets, forget, retain, self.budget, self.seed)

    def gradient_source(
        self,
        module: nn.Module,
        runner: ForwardRunner,
        losses: LossInputs,
        dataset: RunDataset,
        micro: int | None,
        raw: StepComputer,
    ) -> PrivateGradientSource:
        """The gradients of the run.

        Args:
            module: the model.
            runner: forward passes.
            losses: from a pass to losses.
            dataset: the examples of the run.
            micro: most rows in a pass.
            raw: gradients without clipping and noise, used only by a run that guarantees nothing (`paper_formula`).
        """
        assert isinstance(dataset, PrivateDataset)
        return PrivateGradientSource(self, module, runner, losses, dataset, micro, raw)

    @cached_property
    def cost(self) -> PrivacyCost:
        """(epsilon, delta) of the whole run by all accountants."""
        return self.budget.cost()

    def statement(self, status: str = "running") -> dict[str, Any]:
        """The content of `privacy.json`."""
        return build_statement(self.budget, self.cost, self.ledger, self.test_result, status)

    def begin(self, folder: Path) -> None:
        """Before the first step: store the seed for a resumed run, and write the statement."""
        if self.budget.settings.seed is None:
            privacy_state.keep_seed(folder, self.seed)
        self.write(folder)

    def write(self, folder: Path, status: str = "running") -> None:
        """Write `privacy.json`."""
        privacy_state.write(folder, self.statement(status))


class PrivateGradientSource:
    """Clipped and noised gradients; each is one release, which the ledger charges. See `GradientSource`."""

    def __init__(
        self,
        engine: PrivacyEngine,
        module: nn.Module,
        runner: ForwardRunner,
        losses: LossInputs,
        dataset: PrivateDataset,
        micro: int | None,
        raw: StepComputer,
    ) -> None:
        self.engine, self._module, self._runner = engine, module, runner
        self._raw = raw
        self._losses, self._dataset, self._micro = losses, dataset, micro
        self._layers: list[AdaptedLayer] = []

    def start_phase(self, rows: Sequence[int], parameters: Parameters) -> None:
        """Self-test of the gradients per unit; `RunFailed` if it fails, unless `on_failure` is `withhold`."""
        engine, items = self.engine, self._dataset.encoded
        self._layers = adapted_layers(self._module, parameters)
        result = self_test(self._module, self._runner, items, rows or range(len(items)), self._layers, parameters)
        if engine.test_result is None or engine.test_result.passed:
            engine.test_result = result
        engine.ledger.withheld = engine.ledger.withheld or result.reason
        if not result.passed and engine.budget.settings.on_failure == "refuse":
            raise RunFailed(
                "privacy self-test",
                result.reason,
                "set privacy.on_failure: withhold to train without a stated epsilon, or privacy: null",
            )

    def gradient(
        self, terms: Sequence[Term], step: int, parameters: Parameters, observe: bool = True
    ) -> tuple[Gradients, Means]:
        """The noised gradient of one term; no mean loss is released.

        `observe` false asks for gradients of single rows, which Fisher information is made of. They are raw, so only a
        run that guarantees nothing may have them, as it may have token saliency.
        """
        (term,), engine = terms, self.engine
        if not observe:
            assert engine.budget.settings.paper_formula
            return self._raw.gradient(terms, step, parameters, observe=False)
        engine.ledger.charge(term.side, step, engine.budget)
        total = clipped_unit_sum(
            self._dataset.drawn(term.side, step),
            term,
            layers=self._layers,
            runner=self._runner,
            losses=self._losses,
            lengths=[item.length for item in self._dataset.encoded],
            parameters=parameters,
            max_norm=engine.budget.settings.clip,
            micro=self._micro,
        )
        self._raw.observe(term)
        noised = add_noise(total, engine.budget, engine.seed, term.side, step)
        return {name: g.to(parameters[name].dtype) for name, g in noised.items()}, {}

    def state(self) -> dict[str, Any]:
        return self.engine.ledger.state() | self._raw.state()

    def restore(self, state: dict[str, Any]) -> None:
        self.engine.ledger.restore(state)
        self._raw.restore(state)
