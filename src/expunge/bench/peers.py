"""The training steps that the field's public scripts run, written plainly: what `expunge bench step` compares with.

A deep copy of the model is the reference and is asked again at every step; logits are computed at all positions;
every row of a batch is padded to its longest; forget and retain rows go through forward passes of their own; `twin`
asks a live teacher, the original model, about the twin at every step. Surprising: token saliency (`dual`) is taken
where ours takes it, at the first block that trains, and not at the embedding as its authors do: so both sides
compute the same losses, and the cost of going down to the embedding is not held against the peers.
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

from expunge.gradients.base import Gradients
from expunge.gradients.project import Project
from expunge.gradients.saliency import Side, TokenSaliency
from expunge.methods.twin.loss_floors import LossFloors
from expunge.methods.twin.targets import TwinRow, correct_leakage
from expunge.models.adapters import block_stack, trainable
from expunge.models.collate import Batch, collate

BETA = 0.1  # of npo, as in its paper; also within dual
ALPHA = 0.2  # of dual: share of the retain direction taken out of what must go (concept level L4)
IGNORED = -100


def logits_everywhere(module: Any, batch: Batch) -> Tensor:
    """[B, T, V]"""
    found: Tensor = module(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    return found


def token_logprob(logits: Tensor, batch: Batch) -> Tensor:
    """log p of the answer tokens [B, A], 0 outside the mask, from a cross-entropy over every position."""
    rows = torch.arange(len(batch)).unsqueeze(-1).expand_as(batch.index)
    labels = torch.full(logits.shape[:2], IGNORED)
    labels[rows[batch.mask], batch.index[batch.mask]] = batch.labels[batch.mask]
    nll = cross_entropy(logits.transpose(-1, -2), labels, ignore_index=IGNORED, reduction="none")
    return -nll.gather(1, batch.index) * batch.mask


def distributions(logits: Tensor, batch: Batch) -> Tensor:
    """log-probs over the vocabulary at answer positions [B, A, V], from a softmax over every position."""
    log_p = logits.log_softmax(-1)
    return log_p.gather(1, batch.index.unsqueeze(-1).expand(-1, -1, log_p.shape[-1]))


def mean_nll(logprob: Tensor, batch: Batch) -> Tensor:
    """Mean over the tokens of each row, then over rows."""
    return -(logprob.sum(-1) / batch.mask.sum(-1)).mean()


def mean_kl(log_p: Tensor, log_q: Tensor, batch: Batch) -> Tensor:
    """KL(p || q) [B], mean over the answer positions of each row."""
    return ((log_p.exp() * (log_p - log_q)).sum(-1) * batch.mask).sum(-1) / batch.mask.sum(-1)


@dataclass
class Peer(ABC):
    """A model in training with its reference."""

    module: Any
    reference: Any
    optimizer: torch.optim.Optimizer
    clip_norm: float | None = None
    retain_weight: float = 1.0

    @classmethod
    def of(cls, module: Any, original: Any, lr: float, **more: Any) -> Peer:
        """`module` trains; a deep copy of `original` is the reference."""
        optimizer = torch.optim.AdamW(trainable(module).values(), lr=lr, weight_decay=0.0)
        return cls(module, copy.deepcopy(original), optimizer, **more)

    @abstractmethod
    def step(self, rows: Sequence[int], forget: Batch, retain: Batch | None) -> tuple[float, float]:
        """Take a step; returns the forget and the retain loss. rows: numbers of the forget rows, for `Twin`."""

    def now(self, batch: Batch) -> Tensor:
        return token_logprob(logits_everywhere(self.module, batch), batch)

    @torch.no_grad()
    def before(self, batch: Batch) -> Tensor:
        return token_logprob(logits_everywhere(self.reference, batch), batch)


class Summed(Peer):
    """Two losses, added, one backward pass."""

    def step(self, rows: Sequence[int], forget: Batch, retain: Batch | None) -> tuple[float, float]:
        self.optimizer.zero_grad()
        losses = self.losses(rows, forget, retain)
        (losses[0] + self.retain_weight * losses[1]).backward()  # type: ignore[no-untyped-call]
        if self.clip_norm:
            torch.nn.utils.clip_grad_norm_(trainable(self.module).values(), self.clip_norm)
        self.optimizer.step()
        return float(losses[0].detach()), float(losses[1].detach())

    @abstractmethod
    def losses(self, rows: Sequence[int], forget: Batch, retain: Batch | None) -> tuple[Tensor, Tensor]:
        """Means over the rows."""


class GradDiff(Summed):
    """Gradient difference (arXiv 2401.06121)."""

    def losses(self, rows: Sequence[int], forget: Batch, retain: Batch | None) -> tuple[Tensor, Tensor]:
        assert retain is not None
        return -mean_nll(self.now(forget), forget), mean_nll(self.now(retain), retain)


class NPO(Summed):
    """Negative preference optimization with a retain term (arXiv 2404.05868)."""

    def losses(self, rows: Sequence[int], forget: Batch, retain: Batch | None) -> tuple[Tensor, Tensor]:
        assert retain is not None
        return self.preference(forget), mean_nll(self.now(retain), retain)

    def preference(self, forget: Batch) -> Tensor:
        """The forget loss."""
        gap = self.now(forget).sum(-1) - self.before(forget).sum(-1)
        return (-2 / BETA * logsigmoid(-BETA * gap)).mean()


class NPOAlone(NPO):
    """Negative preference optimization as first published, with nothing to keep."""

    def losses(self, rows: Sequence[int], forget: Batch, retain: Batch | None) -> tuple[Tensor, Tensor]:
        return self.preference(forget), torch.zeros(())


@dataclass
class Dual(Peer):
    """The dual strategy (arXiv 2511.19498, eq. 12 and 13): two gradients, projected; token weights by saliency."""

    watched: int = 0  # block whose input the saliency is taken at
    saliency: TokenSaliency | None = None

    def step(self, rows: Sequence[int], forget: Batch, retain: Batch | None) -> tuple[float, float]:
        if self.saliency is None:
            self.saliency = TokenSaliency(self.module.get_output_embeddings().weight.shape[0])
        weights = self.saliency.weights(forget.labels, forget.mask)
        before = self.before(forget)

        def npo(logprob: Tensor) -> Tensor:
            gap = ((logprob - before) * weights).sum(-1)
            return (-2 / BETA * logsigmoid(-BETA * gap)).mean()

        g_f, loss = self._gradient("forget", forget, npo)
        assert retain is not None
        g_r, kept = self._gradient("retain", retain, lambda logprob: mean_nll(logprob, retain))
        combined = Project().combine(g_f, g_r, alpha=ALPHA)
        for name, parameter in trainable(self.module).items():
            parameter.grad = combined[name]
        self.optimizer.step()
        return loss, kept

    def _gradient(self, side: Side, batch: Batch, loss_of: Callable[[Tensor], Tensor]) -> tuple[Gradients, float]:
        """Gradient and value of a loss; the saliency of its answer tokens is taken note of."""
        assert self.saliency is not None
        seen: list[Tensor] = []

        def keep(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
            seen.append(args[0] if args else kwargs["hidden_states"])
            if not seen[0].requires_grad:
                seen[0].requires_grad_(True)
            return args, kwargs

        stack, _ = block_stack(self.module)
        handle = self.module.get_submodule(stack)[self.watched].register_forward_pre_hook(keep, with_kwargs=True)
        loss = loss_of(self.now(batch))
        handle.remove()
        parameters = trainable(self.module)
        *grads, at_input = torch.autograd.grad(loss, [*parameters.values(), seen[0]])
        norms = (at_input * len(batch)).norm(dim=-1).gather(1, batch.index[:, 1:])
        read = batch.mask[:, 1:]  # a token is read where the next one is predicted
        self.saliency.observe(side, batch.labels[:, :-1][read], norms[read])
        return dict(zip(parameters, grads, strict=True)), float(loss.detach())


@dataclass
class Twin(Summed):
    """Twin with a live teacher: the original model is asked the twin's question at every step."""

    table: Sequence[TwinRow] = ()
    floor_weight: float = 0.5
    floors: LossFloors | None = None

    def step(self, rows: Sequence[int], forget: Batch, retain: Batch | None) -> tuple[float, float]:
        found = super().step(rows, forget, retain)
        assert self.floors is not None
        self.floors.step()
        return found

    def losses(self, rows: Sequence[int], forget: Batch, retain: Batch | None) -> tuple[Tensor, Tensor]:
        assert self.floors is not None
        logits = logits_everywhere(self.module, forget)
        distance = mean_kl(self._taught(rows), distributions(logits, forget), forget)
        inner = forget.mask.clone().scatter_(1, forget.mask.sum(-1, keepdim=True) - 1, False)  # no end token
        nll = -(token_logprob(logits, forget) * inner).sum(-1) / inner.sum(-1)
        short = (self.floors.current[list(rows)] - nll).relu()
        self.floors.record(rows, nll.detach())
        assert retain is not None
        with torch.no_grad():
            before = distributions(logits_everywhere(self.reference, retain), retain)
        kept = mean_kl(before, distributions(logits_everywhere(self.module, retain), retain), retain)
        return (distance + self.floor_weight * short).mean(), kept.mean()

    @torch.no_grad()
    def _taught(self, rows: Sequence[int]) -> Tensor:
        """The teacher's distributions for the controls' questions [B, A, V], its echoes of true answers corrected."""
        batch = collate([self.table[k].question for k in rows])
        found = distributions(logits_everywhere(self.reference, batch), batch)
        for place, k in enumerate(rows):
            inner = int(batch.mask[place].sum()) - 1
            found[place, :inner] = correct_leakage(
                found[place, :inner], batch.labels[place, :inner], self.table[k].floor
            )
        return found
