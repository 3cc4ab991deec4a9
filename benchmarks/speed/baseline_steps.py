"""The training steps of common unlearning scripts, written plainly: what `step` compares with.

A deep copy of the model is the reference and is run at every step; logits are computed at all positions; every row
is padded to the longest of its batch; forget and retain rows have forward passes of their own; `twin` runs a live
teacher, the original model, at every step. Token saliency (`dual`) is taken where ours takes it, at the first block
that trains, not at the embedding as its authors do: both sides then compute the same losses, and the cost of the
backward pass to the embedding is not held against the baseline.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, logsigmoid

from expunge.engine.loop import Loop
from expunge.gradients.base import Gradients
from expunge.gradients.project import Project
from expunge.gradients.saliency import Side, TokenSaliency
from expunge.methods.twin.loss_floors import LossFloors
from expunge.methods.twin.rows import TwinRow
from expunge.methods.twin.targets import correct_leakage
from expunge.models.adapters import block_stack, trainable
from expunge.models.collate import Batch, collate

BETA = 0.1  # of NPO, as in its paper; also within dual
ALPHA = 0.2  # of dual at concept level L4: share of the retain direction removed from the forget gradient
IGNORE_INDEX = -100


def padded_batches(loop: Loop, step: int) -> tuple[list[int], Batch, Batch | None]:
    """Forget row numbers and the whole padded batches that `loop` uses in a step."""
    dataset = loop.dataset
    rows, retain = dataset.forget_batch(step), dataset.retain_batch(step) if loop.resolved.uses_retain else []
    forget, *rest = (collate([dataset.encoded[k] for k in part]) for part in (rows, retain) if part)
    return rows, forget, rest[0] if rest else None


def all_logits(module: Any, batch: Batch) -> Tensor:
    """[B, T, V]"""
    logits: Tensor = module(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    return logits


def token_logprob(logits: Tensor, batch: Batch) -> Tensor:
    """log p of the answer tokens [B, A], 0 outside the mask, from a cross-entropy over every position."""
    rows = torch.arange(len(batch)).unsqueeze(-1).expand_as(batch.index)
    labels = torch.full(logits.shape[:2], IGNORE_INDEX)
    labels[rows[batch.mask], batch.index[batch.mask]] = batch.labels[batch.mask]
    nll = cross_entropy(logits.transpose(-1, -2), labels, ignore_index=IGNORE_INDEX, reduction="none")
    return -nll.gather(1, batch.index) * batch.mask


def answer_log_softmax(logits: Tensor, batch: Batch) -> Tensor:
    """Log-probabilities at answer positions [B, A, V], from a softmax over every position."""
    log_p = logits.log_softmax(-1)
    return log_p.gather(1, batch.index.unsqueeze(-1).expand(-1, -1, log_p.shape[-1]))


def mean_nll(logprob: Tensor, batch: Batch) -> Tensor:
    """Mean over the tokens of each row, then over rows."""
    return -(logprob.sum(-1) / batch.mask.sum(-1)).mean()


def mean_kl(log_p: Tensor, log_q: Tensor, batch: Batch) -> Tensor:
    """KL(p || q) [B], mean over the answer positions of each row."""
    return ((log_p.exp() * (log_p - log_q)).sum(-1) * batch.mask).sum(-1) / batch.mask.sum(-1)


@dataclass(kw_only=True)
class BaselineStep(ABC):
    """A model in training with its reference."""

    module: Any
    reference: Any
    optimizer: torch.optim.Optimizer
    clip_norm: float | None = None
    retain_weight: float = 1.0

    @classmethod
    def of(cls, module: Any, original: Any, lr: float, **settings: Any) -> BaselineStep:
        """`module` trains; a deep copy of `original` is the reference."""
        optimizer = torch.optim.AdamW(trainable(module).values(), lr=lr, weight_decay=0.0)
        return cls(module=module, reference=copy.deepcopy(original), optimizer=optimizer, **settings)

    @abstractmethod
    def step(self, rows: Sequence[int], forget: Batch, retain: Batch | None) -> tuple[float, float]:
        """Take a step; returns the forget and the retain loss. `rows` are the numbers of the forget rows."""

    def logprob(self, batch: Batch) -> Tensor:
        return token_logprob(all_logits(self.module, batch), batch)

    @torch.no_grad()
    def reference_logprob(self, batch: Batch) -> Tensor:
        return token_logprob(all_logits(self.reference, batch), batch)


class SummedStep(BaselineStep):
    """Two losses, added, one backward pass."""

    def step(self, rows: Sequence[int], forget: Batch, retain: Batch | None) -> tuple[float, float]:
        self.optimizer.zero_grad()
        losses = self.losses(rows, forget, retain)
        (losses[0] + self.retain_weight * losses[1]).backward()  # type: ignore[no-untyped-call]
        if self.clip_norm:
            torch.nn.utils.clip_grad_norm_(trainable(self.module).values(), self.clip_norm)
        self.optimizer.step()
        return float(losses[0].detach()), float(losses[1].detach())

    def retain_nll(self, retain: Batch | None) -> Tensor:
        return torch.zeros(()) if retain is None else mean_nll(self.logprob(retain), retain)

    @abstractmethod
    def losses(self, rows: Sequence[int], forget: Batch, retain: Batch | None) -> tuple[Tensor, Tensor]:
        """Forget and retain loss, means over the rows."""


class GradDiffStep(SummedStep):
    """Gradient difference (arXiv 2401.06121)."""

    def losses(self, rows: Sequence[int], forget: Batch, retain: Batch | None) -> tuple[Tensor, Tensor]:
        return -mean_nll(self.logprob(forget), forget), self.retain_nll(retain)


class NPOStep(SummedStep):
    """Negative preference optimization (arXiv 2404.05868), with a retain term where there are retain rows."""

    def losses(self, rows: Sequence[int], forget: Batch, retain: Batch | None) -> tuple[Tensor, Tensor]:
        logratio = self.logprob(forget).sum(-1) - self.reference_logprob(forget).sum(-1)
        loss = (-2 / BETA * logsigmoid(-BETA * logratio)).mean()
        return loss, self.retain_nll(retain)


@dataclass(kw_only=True)
class DualStep(BaselineStep):
    """The dual strategy (arXiv 2511.19498, eq. 12 and 13): two gradients, projected; token weights by saliency."""

    saliency_block: int  # saliency is taken at the input of this block

    def __post_init__(self) -> None:
        self.saliency = TokenSaliency(self.module.get_output_embeddings().weight.shape[0])

    def step(self, rows: Sequence[int], forget: Batch, retain: Batch | None) -> tuple[float, float]:
        assert retain is not None
        weights = self.saliency.weights(forget.labels, forget.mask)
        reference = self.reference_logprob(forget)

        def npo(logprob: Tensor, weights: Tensor) -> Tensor:
            logratio = ((logprob - reference) * weights).sum(-1)
            return (-2 / BETA * logsigmoid(-BETA * logratio)).mean()

        ones = forget.mask.float()
        g_f, forget_loss = self._gradient("forget", forget, lambda p: npo(p, ones), lambda p: npo(p, weights))
        g_r, retain_loss = self._gradient("retain", retain, lambda p: mean_nll(p, retain))
        combined = Project().combine(g_f, g_r, alpha=ALPHA)
        for name, parameter in trainable(self.module).items():
            parameter.grad = combined[name]
        self.optimizer.step()
        return forget_loss, retain_loss

    def _gradient(
        self,
        side: Side,
        batch: Batch,
        loss_of: Callable[[Tensor], Tensor],
        weighted: Callable[[Tensor], Tensor] | None = None,
    ) -> tuple[Gradients, float]:
        """Gradient of the weighted loss, value of the plain one, whose gradient the saliency of answer tokens is."""
        inputs: list[Tensor] = []

        def record(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            inputs.append(args[0] if args else kwargs["hidden_states"])
            if not inputs[0].requires_grad:
                inputs[0].requires_grad_(True)

        stack, _ = block_stack(self.module)
        block = self.module.get_submodule(stack)[self.saliency_block]
        handle = block.register_forward_pre_hook(record, with_kwargs=True)
        logprob = self.logprob(batch)
        handle.remove()
        loss = loss_of(logprob)
        parameters = trainable(self.module)
        (at_input,) = torch.autograd.grad(loss, [inputs[0]], retain_graph=True)
        grads = torch.autograd.grad(weighted(logprob) if weighted else loss, list(parameters.values()))
        norms = (at_input * len(batch)).norm(dim=-1).gather(1, batch.index[:, 1:])
        is_input = batch.mask[:, 1:]  # a token is an input where the next one is predicted
        self.saliency.observe(side, batch.labels[:, :-1][is_input], norms[is_input])
        return dict(zip(parameters, grads, strict=True)), float(loss.detach())


@dataclass(kw_only=True)
class TwinStep(SummedStep):
    """Twin with a live teacher: the original model reads the surrogate's prompt at every step."""

    table: Sequence[TwinRow]
    floor_weight: float
    floors: LossFloors

    def step(self, rows: Sequence[int], forget: Batch, retain: Batch | None) -> tuple[float, float]:
        losses = super().step(rows, forget, retain)
        self.floors.step()
        return losses

    def losses(self, rows: Sequence[int], forget: Batch, retain: Batch | None) -> tuple[Tensor, Tensor]:
        assert retain is not None
        logits = all_logits(self.module, forget)
        distance = mean_kl(self._teacher_log_softmax(rows), answer_log_softmax(logits, forget), forget)
        inner = forget.mask.clone().scatter_(1, forget.mask.sum(-1, keepdim=True) - 1, False)  # no end token
        nll = -(token_logprob(logits, forget) * inner).sum(-1) / inner.sum(-1)
        below_floor = (self.floors.current[list(rows)] - nll).relu()
        self.floors.record(rows, nll.detach())
        with torch.no_grad():
            original = answer_log_softmax(all_logits(self.reference, retain), retain)
        retain_kl = mean_kl(original, answer_log_softmax(all_logits(self.module, retain), retain), retain)
        return (distance + self.floor_weight * below_floor).mean(), retain_kl.mean()

    @torch.no_grad()
    def _teacher_log_softmax(self, rows: Sequence[int]) -> Tensor:
        """The teacher's log-probabilities for the surrogates' prompts [B, A, V], corrected for leaked answers."""
        batch = collate([self.table[k].question for k in rows])
        log_p = answer_log_softmax(all_logits(self.reference, batch), batch)
        for place, k in enumerate(rows):
            inner = int(batch.mask[place].sum()) - 1
            labels = batch.labels[place, :inner]
            log_p[place, :inner] = correct_leakage(log_p[place, :inner], labels, self.table[k].floor)
        return log_p
