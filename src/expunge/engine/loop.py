"""The one loop: batches, forward, losses, gradient rule, clip, step, log, checkpoint. Every method runs here.

What stands in a batch depends on (seed, step) alone and every cache is built before the first step that reads it, so
a run that was killed and started again ends in the same bits. Forget and retain rows go through one pass together;
their gradients are taken apart only where the rule or token saliency asks for it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from expunge.corpus import Record
from expunge.engine.attention_saliency import attention_saliency
from expunge.engine.dataset import RunDataset
from expunge.engine.distributed import DistributedContext
from expunge.engine.floors import LossFloors
from expunge.engine.forward import ForwardRunner
from expunge.engine.gradient_combiner import GradientCombiner
from expunge.engine.loss_inputs import LossInputs
from expunge.engine.memory import peak_memory
from expunge.engine.optimizer import OptimizerConfig, OptimizerGroup, embeddings, lr_factor
from expunge.engine.privacy.privacy_engine import PrivacyEngine
from expunge.engine.recipe import Phase, Recipe
from expunge.engine.reference import Reference
from expunge.engine.sampling import stream
from expunge.engine.validation import check_trainable
from expunge.errors import RunFailed
from expunge.gradients.base import Gradients, clip_total_norm, cosine
from expunge.gradients.saliency import Side, TokenSaliency
from expunge.methods.base import REFERENCE_LOSSES, Requirements, RetainLoss
from expunge.models.adapters import (
    block_of,
    block_stack,
    drop_adapters,
    enable_checkpointing,
    set_trainable_blocks,
    trainable,
)
from expunge.models.collate import Batch, chunks
from expunge.models.language_model import LanguageModel


@dataclass(frozen=True)
class Event:
    """One step. Losses are means over the batch (nats where they are likelihoods), NaN where not computed.

    rate    factor on the learning rate of the phase
    norm    of the gradient after the rule, before it is clipped
    drift   <delta theta, g_r>: what the step does to the retain loss to first order; None unless the rule
            takes the two gradients apart
    memory  most memory in use so far, bytes: of the device, or of the process on a CPU
    cosine  of the angle between forget and retain gradient; None where they are not known apart
    """

    step: int
    phase: int
    forget: float
    retain: float
    norm: float
    rate: float
    seconds: float
    drift: float | None = None
    memory: int = 0
    cosine: float | None = None


@dataclass(frozen=True)
class Term:
    """One side of a step: its rows (positions in the table's items) and the factor on their mean loss."""

    side: Side
    rows: Sequence[int]
    weight: float = 1.0


@dataclass
class Loop:
    """A prepared run. `step` counts finished steps; `state` and `restore` are what a checkpoint holds.

    scratch  folder for cached hidden states that do not fit the memory; None for a temporary one
    private  the run's draws and noise where the recipe is private; None makes them anew
    """

    lm: LanguageModel
    recipe: Recipe
    forget: Sequence[Record]
    retain: Sequence[Record]
    scratch: Path | None = None
    step: int = 0
    private: PrivacyEngine | None = None

    def __post_init__(self) -> None:
        from accelerate import Accelerator

        recipe, lm = self.recipe, self.lm
        self.accelerator = Accelerator(cpu=lm.device.type == "cpu")
        self.method, self.rule = recipe.build_method(), recipe.build_rule()
        self.needs: Requirements = self.method.requires()
        self.phases = recipe.plan()
        self.trainable = check_trainable(lm.module, recipe, self.forget, self.retain)
        lm.module.eval()
        if recipe.memory.checkpointing:
            enable_checkpointing(lm.module)
        self.private = self.private or PrivacyEngine.of(recipe, self.forget, self.retain)
        make = self.private.table if self.private else RunDataset
        self.table = make(lm, recipe, self.needs, self.forget, self.retain)
        self.passes = ForwardRunner(lm, self.table.items, recipe.memory, self.scratch)
        reference: dict[Side, Reference] = {}
        if recipe.uses_retain and recipe.retain_loss in REFERENCE_LOSSES:
            reference["retain"] = self._said_before("retain", logits=True)
        if self.needs.reference_logprobs or self.needs.reference_logits:
            reference["forget"] = self._said_before("forget", self.needs.reference_logits)
        self.saliency = self._saliency()
        self.watching = self.needs.token_weights == "gradient"
        towards = self.method.towards
        self.floors = LossFloors.of(self.table.rows, towards.least_floor, lm.device) if towards else None
        self.meeting = GradientCombiner(recipe, self.table)
        self.losses = LossInputs(self.method, self.table.rows, reference, self.saliency, self.floors)
        self.optimizers: OptimizerGroup | None = None

    def _saliency(self) -> TokenSaliency | None:
        """Token saliency as it stands before the first step: empty, or measured once and for all."""
        if self.needs.token_weights == "attention":
            rows, items = len(self.table.rows), self.table.items
            return attention_saliency(self.lm, {"forget": items[:rows], "retain": items[rows:]})
        return (
            TokenSaliency(self.lm.module.get_output_embeddings().weight.shape[0], raw=self.needs.raw_weights)
            if self.needs.token_weights == "gradient"
            else None
        )

    @property
    def ranks(self) -> DistributedContext:
        return DistributedContext(self.accelerator)

    @property
    def _sharded(self) -> bool:
        """Is every pass one of all processes together, so that each must make as many as the others?"""
        return self.recipe.parallel.shard and self.ranks.count > 1

    def _batches(self, side: Side, phase: Phase, start: int) -> Iterator[Sequence[int]]:
        """The batches of one side in a phase that begins at step `start`."""
        steps = range(start, start + phase.steps)
        if side == "forget" and phase.objective != "retain":
            yield from (self.table.forget_batch(step) for step in steps)
        if side == "retain" and phase.objective != "forget" and self.table.kept:
            yield from (self.table.retain_batch(step) for step in steps)

    def _said_before(self, side: Side, logits: bool) -> Reference:
        starts = accumulate((phase.steps for phase in self.phases), initial=0)
        batches = [
            batch
            for phase, start in zip(self.phases, starts, strict=False)
            for batch in self._batches(side, phase, start)
        ]
        rows = sorted(set().union(*batches)) if self._sharded else self.ranks.feeds(batches)
        return Reference(self.lm.module, {k: self.table.items[k] for k in rows}, logits, live=not self._sharded)

    # ---- losses and gradients ---------------------------------------------------------------------------------

    def _gradient(
        self, terms: Sequence[Term], retain_kind: RetainLoss, parameters: dict[str, Any], observe: bool = True
    ) -> tuple[Gradients, dict[Side, float]]:
        """Gradient of the weighted mean losses of `terms`, and every mean by itself, over the global batch.

        Summed over micro-batches and ranks: a rank takes every n-th row of a term. Where saliency is watched a
        single term, which then enters it unless told not to `observe`.
        """
        ranks = self.ranks
        mine = [(term, k) for term in terms for k in ranks.mine(term.rows)]
        logits = any(self.losses.wants_logits(term.side, retain_kind) for term in terms)
        total: dict[Side, Tensor] = {t.side: torch.zeros((), device=self.lm.device) for t in terms}
        grads: Gradients = {}
        seen: list[tuple[Tensor, Tensor]] = []
        cuts = chunks([self.table.items[k].length for _, k in mine], self.recipe.batch.micro)
        missing = ranks.most(len(cuts)) - len(cuts) if self._sharded else 0
        for cut in cuts:
            rows = [mine[c] for c in cut]
            passed = self.passes.run([k for _, k in rows], logits, watch=self.watching and observe)
            loss = torch.zeros((), device=self.lm.device)
            for term in terms:
                places = [place for place, (t, _) in enumerate(rows) if t is term]
                if not places:
                    continue
                items = [rows[place][1] for place in places]
                losses = self.losses.of(term.side, items, passed.only(places), retain_kind)
                mean = losses.sum() / len(term.rows)
                total[term.side] += mean.detach()
                loss = loss + term.weight * mean
            watched = [passed.watched] if passed.watched is not None else []
            found = torch.autograd.grad(loss, [*parameters.values(), *watched], allow_unused=True)
            for name, g in zip(parameters, found, strict=False):
                if g is not None:
                    grads[name] = grads[name] + g if name in grads else g
            if watched and found[-1] is not None:
                seen.append(_answer_saliency(found[-1] * len(terms[0].rows), passed.batch))
        for _ in range(missing):
            passed = self.passes.run([self._spare], logits=False)  # for others, who cannot do theirs alone
            torch.autograd.grad(passed.logprob.sum(), list(parameters.values()), allow_unused=True)
        if self.watching and observe:  # once per step, so that micro-batches change nothing
            self._observe(terms[0].side, seen)
        if ranks.count > 1:
            here = torch.tensor([float(name in grads) for name in parameters], device=self.lm.device)
            found_in, *sums = ranks.total(
                [here, *total.values(), *(grads.get(n, torch.zeros_like(p)) for n, p in parameters.items())]
            )
            total = dict(zip(total, sums, strict=False))
            grads = {
                name: g
                for name, g, count in zip(parameters, sums[len(total) :], found_in.tolist(), strict=True)
                if count
            }
        return grads, {side: float(value) for side, value in total.items()}

    def _observe(self, side: Side, seen: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Show the saliency of this step's tokens, of all processes, to the running averages."""
        assert self.saliency is not None
        device = self.lm.device
        ids = torch.cat([i for i, _ in seen]) if seen else torch.zeros(0, dtype=torch.int64, device=device)
        norms = torch.cat([n.float() for _, n in seen]) if seen else torch.zeros(0, device=device)
        ids, norms = self.ranks.joined(ids), self.ranks.joined(norms)
        if len(ids):
            self.saliency.observe(side, ids, norms)

    def _met(
        self,
        terms: Sequence[Term],
        g: dict[Side, Gradients],
        inside: int,
        retain_kind: RetainLoss,
        parameters: dict[str, Any],
    ) -> tuple[Gradients, dict[Side, float]]:
        """The gradient of a step whose sides are known apart, and the means that are known; `g` takes both sides."""
        assert self.optimizers is not None
        means: dict[Side, float] = {}
        for term in terms:
            if term.side == "retain" and inside % self.recipe.batch.blocks and self.kept:
                g["retain"] = self.kept
            elif self.private:
                g[term.side] = self.private.gradient(self, term.side, retain_kind, parameters)
            else:
                g[term.side], mean = self._gradient([Term(term.side, term.rows)], retain_kind, parameters)
                means |= mean
        if self.recipe.batch.blocks > 1:
            self.kept = g["retain"]
        if len(terms) == 2:
            self.meeting.measure(
                self.step,
                inside,
                lambda side, k: self._gradient([Term(side, [k])], retain_kind, parameters, observe=False)[0],
            )
        level = self.table.level_at(self.step) if self.needs.levels else None
        scaling = self.optimizers.scaling(parameters) if self.rule.preconditions else None
        return self.meeting.combine(g["forget"], g["retain"], level, scaling), means

    def _step(self, phase_number: int, phase: Phase, inside: int) -> Event:
        started = time.perf_counter()
        recipe, step = self.recipe, self.step
        assert self.optimizers is not None
        parameters: dict[str, Any] = trainable(self.lm.module)
        retain_kind: RetainLoss = recipe.retain_loss
        if phase.objective == "retain" and retain_kind == "none":
            retain_kind = "ce"
        terms: list[Term] = []
        if phase.objective != "retain":
            terms.append(Term("forget", self.table.forget_batch(step), recipe.forget_weight))
        if phase.objective != "forget" and retain_kind != "none":
            terms.append(Term("retain", self.table.retain_batch(step), recipe.retain.weight))
        g: dict[Side, Gradients] = {"forget": {}, "retain": {}}
        with drop_adapters(self.lm.module, self._resting(parameters)):
            if self.meeting.apart:
                combined, means = self._met(terms, g, inside, retain_kind, parameters)
            else:
                combined, means = self._gradient(terms, retain_kind, parameters)
        combined, norm = clip_total_norm(combined, recipe.optimizer.clip_norm or math.inf)
        if not torch.isfinite(norm):
            raise RunFailed(
                f"step {step}",
                "the gradient is no longer finite",
                "lower optimizer.lr, or choose a bounded method (npo, simnpo, twin)",
            )
        g_r = g["retain"] if self.rule.separate else {}
        before = {n: p.detach().clone() for n, p in parameters.items()} if g_r else {}
        for name, parameter in parameters.items():
            parameter.grad = combined.get(name)
        factor = lr_factor(recipe.optimizer.schedule, recipe.optimizer.warmup, inside, phase.steps)
        self.optimizers.step(factor)
        self.optimizers.zero_grad()
        if self.floors:
            self.floors.advance(lambda seen: self.ranks.total([seen])[0])
        drift = sum(float(((parameters[n].detach() - before[n]) * v).sum()) for n, v in g_r.items()) if before else None
        self.step += 1
        return Event(
            step,
            phase_number,
            means.get("forget", math.nan),
            means.get("retain", math.nan),
            float(norm),
            factor,
            time.perf_counter() - started,
            drift,
            peak_memory(self.lm.device),
            cosine(g["forget"], g["retain"]) if g_r else None,
        )

    def _resting(self, parameters: Collection[str]) -> list[int]:
        """The blocks whose adapter is left out of this step; one that trains stays always.

        What is forgotten by a single block comes back as soon as that block is undone. With others missing at random
        every block has to forget by itself, and ten steps of relearning no longer undo them all (after the stochastic
        depth of arXiv 1603.09382).
        """
        chance = self.recipe.train.drop_blocks
        if not chance:
            return []
        stack, _ = block_stack(self.lm.module)
        blocks = sorted({block for name in parameters if (block := block_of(name, stack)) is not None})
        draws = stream(self.recipe.seed, "blocks", self.step)
        resting = [block for block in blocks if draws.random() < chance]
        if len(resting) == len(blocks):
            resting.pop(int(draws.integers(len(resting))))
        return resting

    # ---- the run ----------------------------------------------------------------------------------------------

    def _settings(self, phase: Phase) -> OptimizerConfig:
        return self.recipe.optimizer.model_copy(update={"lr": phase.lr}) if phase.lr else self.recipe.optimizer

    def run(self, after_step: Callable[[Event], None]) -> None:
        """Train from `self.step` to the end; `after_step` is called once a step is whole."""
        start = 0
        for number, phase in enumerate(self.phases):
            end = start + phase.steps
            if self.step < end:
                set_trainable_blocks(self.lm.module, phase.layers, self.trainable)
                used = self._used(phase, start)
                with self.ranks.stage():
                    self.passes.open(used)
                    if self.private:
                        self.private.open(self.lm.module, self.passes, self.table, used, trainable(self.lm.module))
                self._spare = used[0] if used else -1
                if self.optimizers is None:
                    parameters: dict[str, Any] = trainable(self.lm.module)
                    self.optimizers = OptimizerGroup(self._settings(phase), parameters, embeddings(self.lm.module))
                    if self._saved_optimizer is not None and self.step > start:
                        self.optimizers.restore(self._saved_optimizer)
                while self.step < end:
                    after_step(self._step(number, phase, self.step - start))
                self.optimizers = None
            start = end
        self.passes.close()
        set_trainable_blocks(self.lm.module, "all", self.trainable)

    def _used(self, phase: Phase, start: int) -> list[int]:
        """Items that this process will feed to the model in the phase."""
        sides: tuple[Side, ...] = ("forget", "retain")
        return self.ranks.feeds([b for side in sides for b in self._batches(side, phase, start)], equal=self._sharded)

    kept: Gradients = field(default_factory=dict, init=False)  # the retain gradient that later steps go on using
    _spare: int = field(default=-1, init=False)  # any of them
    _saved_optimizer: list[Any] | None = field(default=None, init=False)

    def state(self) -> dict[str, Any]:
        """Everything that a later process needs to go on: plain dicts and tensors."""
        named = dict(self.lm.module.named_parameters())
        return {
            "step": self.step,
            "parameters": {n: named[n].detach() for n in sorted(self.trainable)},
            "optimizer": self.optimizers.state() if self.optimizers else [],
            "saliency": self.saliency.state if self.watching and self.saliency else {},
            "floors": self.floors.state() if self.floors else {},
            "meeting": self.meeting.state(),
            "kept": self.kept,
            "private": self.private.ledger.state() if self.private else {},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue where `state` was taken; caches were built from the model before the run."""
        named = dict(self.lm.module.named_parameters())
        with torch.no_grad():
            for name, value in state["parameters"].items():
                named[name].copy_(value)
        self.step = int(state["step"])
        self._saved_optimizer = state["optimizer"]
        if self.floors:
            self.floors.restore(state["floors"])
        if self.saliency and self.watching:
            self.saliency.state = state["saliency"]
        self.meeting.restore(state["meeting"])
        self.kept = state["kept"]
        if self.private:
            self.private.ledger.restore(state["private"])


def _answer_saliency(gradient: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Ids of the answer tokens that were read as input, and |gradient| at their embeddings, both [n]."""
    read = batch.mask[:, 1:] & batch.mask[:, :-1]  # token a stands at position index[a + 1]
    norms = gradient.norm(dim=-1).gather(1, batch.index[:, 1:])
    return batch.labels[:, :-1][read], norms[read]
