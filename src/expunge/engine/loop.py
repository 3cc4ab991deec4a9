"""The training loop of every method: gradients, gradient rule, clipping, optimizer step, one event per step.

The content of a batch depends on (seed, step) alone and every cache is built before the first step that reads it, so a
killed and resumed run ends with the same bits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from expunge.engine.dataset import RunDataset
from expunge.engine.distributed import DistributedContext
from expunge.engine.event import Event, peak_memory
from expunge.engine.forward import ForwardRunner
from expunge.engine.gradient_combiner import GradientCombiner
from expunge.engine.gradient_source import GradientSource, Means, Parameters, Term
from expunge.engine.optimizer import lr_factor
from expunge.engine.phase_plan import PhasePlan
from expunge.engine.recipe_config import Phase
from expunge.engine.resolved_recipe import ResolvedRecipe
from expunge.engine.simulated_relearning import rows_of_every_process
from expunge.engine.stop_rule import StopProbe
from expunge.engine.stopper import Stopper, score
from expunge.engine.train_state import TrainState
from expunge.errors import RunFailed
from expunge.gradients.base import Gradients, clip_total_norm, cosine
from expunge.gradients.saliency import Side
from expunge.models.adapters import block_of, block_stack, drop_adapters, set_trainable_blocks, trainable
from expunge.models.language_model import LanguageModel
from expunge.random import stream


@dataclass
class Loop:
    """A prepared run; build one with `loop_builder.build_loop`."""

    lm: LanguageModel
    resolved: ResolvedRecipe
    dataset: RunDataset
    runner: ForwardRunner
    source: GradientSource
    combiner: GradientCombiner
    state: TrainState
    context: DistributedContext
    plan: PhasePlan
    stopper: Stopper | None = None
    extra: int = 0  # rows that the runner keeps behind those of the run, for whoever looks at the model on the way

    @property
    def extra_rows(self) -> list[int]:
        """Their positions in the runner."""
        first = len(self.dataset.encoded) + (len(self.stopper.items) if self.stopper else 0)
        return list(range(first, first + self.extra))

    @property
    def end(self) -> int:
        """Number of steps of the run, as known so far."""
        return self.plan.total

    def run(self, after_step: Callable[[Event], None]) -> None:
        """Train from `state.step` to the end; `after_step` is called after each step."""
        for number, phase in enumerate(self.resolved.phases):
            start = self.plan.start(number)
            if self.state.step < self.plan.end(number):
                self._start_phase(number, phase, start)
                while self.state.step < self.plan.end(number):
                    after_step(self._step(number, phase, self.state.step - start))
                self.state.end_phase()
        self.runner.end_phase()
        set_trainable_blocks(self.lm.module, "all", self.state.trainable)

    def stopped(self) -> dict[str, Any]:
        """`{"stopped": ...}`: where and why the run ended; empty without a stop rule."""
        if not self.stopper:
            return {}
        about = self.stopper.summary(self.state.step, self.resolved.total_steps)
        phases = self.resolved.phases
        return {"stopped": about | ({"phases": self.plan.steps} if len(phases) > 1 else {})}

    def _start_phase(self, number: int, phase: Phase, start: int) -> None:
        set_trainable_blocks(self.lm.module, phase.layers, self.state.trainable)
        rows = self._rows_in_phase(phase, start)
        with self.context.synchronized():
            self.runner.start_phase([*rows, *self._probe_rows(), *self.extra_rows])
            self.source.start_phase(rows, self._parameters())
        config = self.resolved.recipe.optimizer
        config = config.model_copy(update={"lr": phase.lr}) if phase.lr else config
        resumed = self.state.step > start
        self.state.start_phase(config, resumed)
        if self.stopper and phase.objective != "retain":
            harm_counts = self.resolved.retain_loss_in(phase) != "none"
            self.stopper.start_phase(self.plan.end(number), harm_counts, resumed)
            if not resumed and any(p.objective != "retain" for p in self.resolved.phases[:number]):
                self._look()
                if self.stopper.stands(start):  # where an earlier phase has brought it
                    self.plan.cut(number, start)

    def _step(self, number: int, phase: Phase, step_in_phase: int) -> Event:
        """One optimizer step."""
        started = time.perf_counter()
        step, config, parameters = self.state.step, self.resolved.recipe.optimizer, self._parameters()
        terms = self._terms(phase, step)
        with drop_adapters(self.lm.module, self._dropped_blocks(parameters)):
            if self.combiner.needs_separate_gradients:
                combined, means, sides = self._combined_gradient(terms, step_in_phase, parameters)
            else:
                (combined, means), sides = self.source.gradient(terms, step, parameters), {}
        combined, norm = clip_total_norm(combined, config.clip_norm or math.inf)
        if not torch.isfinite(norm):
            hint = "lower optimizer.lr, or choose a bounded method (npo, simnpo)"
            raise RunFailed(f"step {step}", "the gradient is no longer finite", hint)
        g_r = sides["retain"] if sides and self.resolved.rule.separate else {}
        before = {n: p.detach().clone() for n, p in parameters.items()} if g_r else {}
        for name, parameter in parameters.items():
            parameter.grad = combined.get(name)
        factor = lr_factor(config.schedule, config.warmup, step_in_phase, phase.steps)
        if self.stopper and phase.objective != "retain":
            factor *= self.stopper.lr_factor(step)
        self.state.optimizers.step(factor)
        self.state.optimizers.zero_grad()
        self.dataset.targets.after_step(lambda tensor: self.context.all_reduce_sum([tensor])[0])
        self.state.step += 1
        probe = self._probe(number, phase)
        return Event(
            step=step,
            phase=number,
            forget=means.get("forget", math.nan),
            retain=means.get("retain", math.nan),
            norm=float(norm),
            lr_factor=factor,
            seconds=time.perf_counter() - started,
            drift=sum(float(((parameters[n].detach() - before[n]) * g).sum()) for n, g in g_r.items()) if g_r else None,
            memory=peak_memory(self.lm.device),
            cosine=cosine(sides["forget"], g_r) if g_r else None,
            probe=probe.forget if probe else None,
        )

    def _probe(self, number: int, phase: Phase) -> StopProbe | None:
        """Let the stop rule look at the model where a look is due; it may end the phase."""
        stopper = self.stopper
        if stopper is None or phase.objective == "retain" or not stopper.is_due(self.state.step):
            return None
        self._look()
        self.plan.cut(number, stopper.end)
        return stopper.probes[-1]

    def _look(self) -> None:
        """Score the probe of the stop rule; all processes follow what the first one sees."""
        assert self.stopper is not None
        nll = score(self.runner, self._probe_rows())
        nll = self.context.broadcast_from_main(lambda: nll)
        self.stopper.observe(self.state.step, nll, self.dataset.targets.settled())

    def _probe_rows(self) -> list[int]:
        """Rows of the probe: the runner keeps them after the examples."""
        first = len(self.dataset.encoded)
        return list(range(first, first + len(self.stopper.items))) if self.stopper else []

    def _terms(self, phase: Phase, step: int) -> list[Term]:
        """What a step minimizes."""
        recipe, retain_loss = self.resolved.recipe, self.resolved.retain_loss_in(phase)
        terms: list[Term] = []
        if phase.objective != "retain":
            terms.append(Term("forget", self.dataset.forget_batch(step), weight=recipe.forget_weight))
        if retain_loss != "none":
            terms.append(Term("retain", self.dataset.retain_batch(step), retain_loss, recipe.retain.weight))
        return terms

    def _combined_gradient(
        self, terms: Sequence[Term], step_in_phase: int, parameters: Parameters
    ) -> tuple[Gradients, Means, dict[Side, Gradients]]:
        """(combined gradient, known means, gradient of each side) of a step with separate gradients."""
        blocks, state = self.resolved.recipe.batch.blocks, self.state
        sides: dict[Side, Gradients] = {"forget": {}, "retain": {}}
        means: Means = {}
        for term in terms:
            if term.side == "retain" and step_in_phase % blocks and state.retain_gradient:
                sides["retain"] = state.retain_gradient
            else:
                unweighted = Term(term.side, term.rows, term.retain_loss)
                sides[term.side], mean = self.source.gradient([unweighted], state.step, parameters)
                means |= mean
        if blocks > 1:
            state.retain_gradient = sides["retain"]
        if len(terms) == 2:
            losses = {term.side: term.retain_loss for term in terms}

            def row_gradient(side: Side, row: int) -> Gradients:
                return self.source.gradient([Term(side, [row], losses[side])], state.step, parameters, observe=False)[0]

            self.combiner.update_importance(state.step, step_in_phase, row_gradient)
        scaling = state.optimizers.scaling(parameters) if self.resolved.rule.preconditions else None
        return self.combiner.combine(sides["forget"], sides["retain"], state.step, scaling), means, sides

    def _dropped_blocks(self, parameters: Parameters) -> list[int]:
        """Blocks whose adapter is left out of this step; at least one that trains stays.

        What a single block forgets returns as soon as that block is undone. With random blocks missing, each has to
        forget by itself, and ten steps of relearning no longer undo them all (after stochastic depth, arXiv
        1603.09382).
        """
        chance = self.resolved.recipe.train.drop_blocks
        if not chance:
            return []
        stack, _ = block_stack(self.lm.module)
        blocks = sorted({block for name in parameters if (block := block_of(name, stack)) is not None})
        draws = stream(self.resolved.recipe.seed, "blocks", self.state.step)
        dropped = [block for block in blocks if draws.random() < chance]
        if len(dropped) == len(blocks):
            dropped.pop(int(draws.integers(len(dropped))))
        return dropped

    def _rows_in_phase(self, phase: Phase, start: int) -> list[int]:
        """Rows that this process will feed to the model in the phase."""
        sides: tuple[Side, ...] = ("forget", "retain")
        batches = [batch for side in sides for batch in phase_batches(self.dataset, side, phase, start)]
        rows = self.context.assigned_rows(batches, equal=self.resolved.is_sharded(self.context.num_processes))
        if self.resolved.recipe.relearning.steps:
            rows = sorted({*rows, *rows_of_every_process(self.dataset, batches)})
        return [*rows, *self.dataset.alternates_of(rows)]

    def _parameters(self) -> Parameters:
        return trainable(self.lm.module)


def phase_batches(dataset: RunDataset, side: Side, phase: Phase, start: int) -> Iterator[Sequence[int]]:
    """The batches of one side in a phase that begins at step `start`."""
    steps = range(start, start + phase.steps)
    if side == "forget" and phase.objective != "retain":
        yield from (dataset.forget_batch(step) for step in steps)
    if side == "retain" and phase.objective != "forget" and dataset.retain_index:
        yield from (dataset.retain_batch(step) for step in steps)
