"""The one loop: batches, forward, losses, gradient rule, clip, step, log, checkpoint. Every method runs here.

What stands in a batch depends on (seed, step) alone and every cache is built before step 1, so a run that was
killed and started again ends in the same bits. Forget and retain gradients are taken apart only where the rule
or token saliency asks for it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from expunge.corpus import Record
from expunge.engine.optimiser import Optimiser, Optimisers, embeddings, rate
from expunge.engine.order import batch_at, stream
from expunge.engine.recipe import Phase, Recipe
from expunge.engine.reference import Reference, pad
from expunge.engine.rows import ForgetRow, WrongAnswers, anchors
from expunge.engine.twins import twin_rows, without_echo
from expunge.errors import InputError, RunFailed
from expunge.gradients.base import Gradients
from expunge.gradients.clip import clip_total_norm
from expunge.gradients.saliency import Side, TokenSaliency
from expunge.methods.base import Needs, Outputs, retain_loss
from expunge.methods.twin import Twin
from expunge.models.adapters import restrict, trainable
from expunge.models.batches import Batch, chunks, collate
from expunge.models.forward import Answers, answer_forward, answer_logprob
from expunge.models.language_model import LanguageModel
from expunge.models.template import Encoded


@dataclass(frozen=True)
class Event:
    """One step. Losses are means over the batch (nats where they are likelihoods), NaN where not computed.

    rate    factor on the learning rate of the phase
    norm    of the gradient after the rule, before it is clipped
    drift   <delta theta, g_r>: what the step does to the retain loss to first order; None unless the rule
            takes the two gradients apart
    """

    step: int
    phase: int
    forget: float
    retain: float
    norm: float
    rate: float
    seconds: float
    drift: float | None = None


@dataclass
class Loop:
    """A prepared run. `step` counts finished steps; `state` and `restore` are what a checkpoint holds."""

    lm: LanguageModel
    recipe: Recipe
    forget: Sequence[Record]
    retain: Sequence[Record]
    step: int = 0
    _rows: list[ForgetRow] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        from accelerate import Accelerator

        recipe, lm = self.recipe, self.lm
        self.accelerator = Accelerator(cpu=lm.device.type == "cpu")
        self.method, self.rule = recipe.build_method(), recipe.build_rule()
        self.needs: Needs = self.method.requires()
        self.phases = recipe.plan()
        uses_retain = any(p.objective != "forget" for p in self.phases) and (
            recipe.retain_loss != "none" or any(p.objective == "retain" for p in self.phases))
        if uses_retain and not self.retain:
            raise InputError("retain set", "is empty, and this recipe needs records that must stay",
                             "give a smaller scope, or retain.loss: none")
        if not self.forget:
            raise InputError("forget set", "is empty", "give a scope that matches something")
        if self.needs.token_saliency and self.accelerator.num_processes > 1:
            raise InputError("method", "token saliency runs in one process only", "set token_weights: false")
        self.trainable = frozenset(trainable(lm.module))
        self._check_layers()
        kept = list(self.retain)
        if recipe.retain.anchors and uses_retain:
            kept += without_echo(lm, anchors(self.retain, self.forget, recipe.seed), self.forget)
        self.retain_items = lm.template.encode_all(kept) if uses_retain else []
        lm.module.eval()
        self._rows = self._forget_rows()
        self.retain_reference = (Reference(lm.module, self.retain_items, logits=True)
                                 if uses_retain and recipe.retain_loss == "kl" else None)
        self.forget_reference = (
            Reference(lm.module, [r.item for r in self._rows], logits=self.needs.reference_logits)
            if self.needs.reference_logprobs or self.needs.reference_logits else None)
        self.saliency = (TokenSaliency(lm.module.get_output_embeddings().weight.shape[0])
                         if self.needs.token_saliency else None)
        self._levels = self._level_plan()
        self.optimisers: Optimisers | None = None

    def _check_layers(self) -> None:
        """Fail now, not in the middle of a run, if a phase names blocks that are not there or do not train."""
        for phase in self.phases:
            restrict(self.lm.module, phase.layers, self.trainable)
            if not trainable(self.lm.module):
                raise InputError("phases", f"nothing that trains is in the blocks {phase.layers}",
                                 "name blocks out of train.layers")
        restrict(self.lm.module, "all", self.trainable)

    # ---- what stands in a batch -------------------------------------------------------------------------------

    def _forget_rows(self) -> list[ForgetRow]:
        if self.needs.rows == "twin":
            assert isinstance(self.method, Twin)
            return twin_rows(self.lm, self.forget, self.retain, self.method, self.recipe.seed)
        if self.needs.rows == "relabel":
            self._wrong = WrongAnswers(self.forget, self.retain, self.recipe.seed)
        return [ForgetRow(self.lm.template.encode(r), r.concept) for r in self.forget]

    def _level_plan(self) -> list[tuple[list[int], int]]:
        """For every step: the rows of its level, and how many earlier steps had that level."""
        groups: dict[str | None, list[int]] = {}
        for k, row in enumerate(self._rows):
            groups.setdefault(row.level if self.needs.levels else None, []).append(k)
        names = sorted(groups, key=str)
        share = [len(groups[n]) / len(self._rows) for n in names]
        seen = dict.fromkeys(names, 0)
        plan: list[tuple[list[int], int]] = []
        for step in range(self.recipe.total_steps):
            name = names[0] if len(names) == 1 else names[
                int(stream(self.recipe.seed, "level", step).choice(len(names), p=share))]
            plan.append((groups[name], seen[name]))
            seen[name] += 1
        return plan

    def forget_batch(self, step: int) -> list[int]:
        """Rows of the forget batch of a step; one concept level if the method asks for that."""
        rows, turn = self._levels[step]
        return [rows[k] for k in batch_at(turn, self.recipe.batch.forget, len(rows), self.recipe.seed, "forget")]

    def retain_batch(self, step: int) -> list[int]:
        return batch_at(step, self.recipe.batch.retain, len(self.retain_items), self.recipe.seed, "retain")

    def _item(self, row: int, step: int) -> Encoded:
        if self.needs.rows != "relabel":
            return self._rows[row].item
        epoch = step * min(self.recipe.batch.forget, len(self._rows)) // len(self._rows)
        return self.lm.template.encode(self._wrong.draw(self.forget[row], epoch))

    # ---- losses and gradients ---------------------------------------------------------------------------------

    def _forget_part(self, rows: list[int], step: int) -> tuple[Tensor, Answers, Batch]:
        batch = collate([self._item(k, step) for k in rows]).to(self.lm.device)
        answers = answer_forward(self.lm.module, batch, with_embedding=self.saliency is not None)
        mine = [self._rows[k] for k in rows]
        level = mine[0].level if self.needs.levels else None
        extra: dict[str, Any] = {"level": level}
        if self.forget_reference:
            extra["reference"] = self.forget_reference.outputs(rows, batch)
        if self.saliency:
            extra["weights"] = self.saliency.weights(batch.labels, batch.mask, self.method.token_factor(level))
        if self.needs.rows == "twin":
            length = batch.mask.shape[1]
            extra |= {"teacher": pad([r.teacher for r in mine if r.teacher is not None], length),
                      "floor": torch.tensor([r.floor for r in mine], device=self.lm.device),
                      "is_gold": torch.tensor([r.is_gold for r in mine], device=self.lm.device)}
        out = Outputs(answer_logprob(answers.logits, batch), batch.mask, batch.labels,
                      answers.logits if self.needs.logits else None, **extra)
        return self.method.forget_loss(out), answers, batch

    def _retain_part(self, rows: list[int], kind: str) -> tuple[Tensor, Answers, Batch]:
        batch = collate([self.retain_items[k] for k in rows]).to(self.lm.device)
        answers = answer_forward(self.lm.module, batch, with_embedding=self.saliency is not None)
        reference = self.retain_reference.outputs(rows, batch) if kind == "kl" and self.retain_reference else None
        out = Outputs(answer_logprob(answers.logits, batch), batch.mask, batch.labels,
                      answers.logits if kind == "kl" else None, reference=reference)
        return retain_loss("kl" if kind == "kl" else "ce", out), answers, batch

    def _gradient(self, rows: list[int], part: Callable[[list[int]], tuple[Tensor, Answers, Batch]],
                  length: Callable[[int], int], parameters: dict[str, Any], side: Side) -> tuple[Gradients, float]:
        """Gradient and value of the mean loss over the global batch `rows`, summed over micro-batches and ranks."""
        world, rank = self.accelerator.num_processes, self.accelerator.process_index
        mine, total = rows[rank::world], 0.0
        grads: Gradients = {}
        seen: list[tuple[Tensor, Tensor]] = []
        for cut in chunks([length(k) for k in mine], self.recipe.batch.micro):
            losses, answers, batch = part([mine[k] for k in cut])
            loss = losses.sum() / len(rows)
            watched = [answers.embedded] if self.saliency and answers.embedded is not None else []
            found = torch.autograd.grad(loss, [*parameters.values(), *watched], allow_unused=True)
            for name, g in zip(parameters, found, strict=False):
                if g is not None:
                    grads[name] = grads[name] + g if name in grads else g
            if self.saliency and watched and found[-1] is not None:
                seen.append(_answer_saliency(found[-1] * len(rows), batch))
            total += float(loss.detach())
        if self.saliency and seen:  # once per step, so that micro-batches change nothing
            self.saliency.observe(side, torch.cat([ids for ids, _ in seen]), torch.cat([n for _, n in seen]))
        if world > 1:
            for name, p in parameters.items():
                grads[name] = self.accelerator.reduce(grads.get(name, torch.zeros_like(p)), "sum")
            total = float(self.accelerator.reduce(torch.tensor(total, device=self.lm.device), "sum"))
        return grads, total

    def _step(self, phase_number: int, phase: Phase, inside: int) -> Event:
        started = time.perf_counter()
        recipe, step = self.recipe, self.step
        parameters: dict[str, Any] = trainable(self.lm.module)
        g_f: Gradients = {}
        g_r: Gradients = {}
        forget = retain = float("nan")
        rows = self.forget_batch(step)
        retain_kind = "ce" if phase.objective == "retain" and recipe.retain_loss == "none" else recipe.retain_loss
        if phase.objective != "retain":
            g_f, forget = self._gradient(rows, lambda part: self._forget_part(part, step),
                                         lambda k: self._item(k, step).length, parameters, "forget")
        if phase.objective != "forget" and retain_kind != "none":
            g_r, retain = self._gradient(self.retain_batch(step), lambda part: self._retain_part(part, retain_kind),
                                         lambda k: self.retain_items[k].length, parameters, "retain")
        level = self._rows[rows[0]].level if self.needs.levels else None
        alpha = self.method.projection(level) if self.needs.levels else None
        combined = self.rule.combine(g_f, g_r, weight_f=recipe.forget_weight, weight_r=recipe.retain.weight,
                                     alpha=alpha)
        if recipe.optimiser.clip_norm:
            combined, norm = clip_total_norm(combined, recipe.optimiser.clip_norm)
        else:
            norm = clip_total_norm(combined, math.inf)[1]
        if not torch.isfinite(norm):
            raise RunFailed(f"step {step}", "the gradient is no longer finite",
                            "lower optimiser.lr, or choose a bounded method (npo, simnpo, twin)")
        before = {n: p.detach().clone() for n, p in parameters.items()} if self.rule.separate and g_r else {}
        for name, parameter in parameters.items():
            parameter.grad = combined.get(name)
        assert self.optimisers is not None
        factor = rate(recipe.optimiser.schedule, recipe.optimiser.warmup, inside, phase.steps)
        self.optimisers.step(factor)
        self.optimisers.zero_grad()
        drift = sum(float(((parameters[n].detach() - before[n]) * g).sum()) for n, g in g_r.items()) if before else None
        self.step += 1
        return Event(step, phase_number, forget, retain, float(norm), factor, time.perf_counter() - started, drift)

    # ---- the run ----------------------------------------------------------------------------------------------

    def _settings(self, phase: Phase) -> Optimiser:
        return self.recipe.optimiser.model_copy(update={"lr": phase.lr}) if phase.lr else self.recipe.optimiser

    def run(self, after_step: Callable[[Event], None]) -> None:
        """Train from `self.step` to the end; `after_step` is called once a step is whole."""
        start = 0
        for number, phase in enumerate(self.phases):
            end = start + phase.steps
            if self.step < end:
                restrict(self.lm.module, phase.layers, self.trainable)
                if self.optimisers is None:
                    parameters: dict[str, Any] = trainable(self.lm.module)
                    self.optimisers = Optimisers(self._settings(phase), parameters, embeddings(self.lm.module))
                    if self._saved_optimiser is not None and self.step > start:
                        self.optimisers.restore(self._saved_optimiser)
                while self.step < end:
                    after_step(self._step(number, phase, self.step - start))
                self.optimisers = None
            start = end
        restrict(self.lm.module, "all", self.trainable)

    _saved_optimiser: list[Any] | None = field(default=None, init=False)

    def state(self) -> dict[str, Any]:
        """Everything that a later process needs to go on: plain dicts and tensors."""
        named = dict(self.lm.module.named_parameters())
        return {"step": self.step, "parameters": {n: named[n].detach() for n in sorted(self.trainable)},
                "optimiser": self.optimisers.state() if self.optimisers else [],
                "saliency": self.saliency.state if self.saliency else {}}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue where `state` was taken; caches were built from the model before the run."""
        named = dict(self.lm.module.named_parameters())
        with torch.no_grad():
            for name, value in state["parameters"].items():
                named[name].copy_(value)
        self.step = int(state["step"])
        self._saved_optimiser = state["optimiser"]
        if self.saliency:
            self.saliency.state = state["saliency"]


def _answer_saliency(gradient: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Ids of the answer tokens that were read as input, and |gradient| at their embeddings, both [n]."""
    read = batch.mask[:, 1:] & batch.mask[:, :-1]  # token a stands at position index[a + 1]
    norms = gradient.norm(dim=-1).gather(1, batch.index[:, 1:])
    return batch.labels[:, :-1][read], norms[read]
