"""Gradients of a plain step: forward passes over micro-batches, summed over micro-batches and processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from expunge.engine.dataset import RunDataset
from expunge.engine.distributed import DistributedContext
from expunge.engine.forward import ForwardOutput, ForwardRunner
from expunge.engine.gradient_source import Means, Parameters, Term
from expunge.engine.loss_inputs import LossInputs
from expunge.gradients.base import Gradients
from expunge.gradients.saliency import Side, TokenSaliency
from expunge.models.collate import Batch, chunks

Saliencies = list[tuple[Batch, Tensor]]  # of each pass: its rows and `token_norms`, [B, A]


@dataclass
class StepComputer:
    """The gradient source of a run without privacy.

    Attributes:
        dataset: the examples of the run.
        runner: forward passes over them.
        losses: from a pass to losses.
        context: the processes of the run; each takes every n-th row of a term.
        micro: most rows in a pass, None for all at once.
        saliency: running token saliency by gradients, None where the method does not use it.
        sharded: whether every pass needs all processes, so that all must run equally many.
    """

    dataset: RunDataset
    runner: ForwardRunner
    losses: LossInputs
    context: DistributedContext
    micro: int | None
    saliency: TokenSaliency | None
    sharded: bool
    _spare: int = field(default=-1, init=False)  # a row of the phase, for passes that only help other processes

    def start_phase(self, rows: Sequence[int], parameters: Parameters) -> None:
        """See `GradientSource`."""
        self._spare = rows[0] if rows else -1

    def gradient(
        self, terms: Sequence[Term], step: int, parameters: Parameters, observe: bool = True
    ) -> tuple[Gradients, Means]:
        """See `GradientSource`. A term that token saliency observes must be the only one."""
        own = [(term, row) for term in terms for row in self.context.shard(term.rows)]
        device = self.runner.device
        means: dict[Side, Tensor] = {t.side: torch.zeros((), device=device) for t in terms}
        grads: Gradients = {}
        saliencies: Saliencies = []
        logits = any(self.losses.wants_logits(term.side, term.retain_loss) for term in terms)
        parts = chunks([self.dataset.encoded[row].length for _, row in own], self.micro)
        missing = self.context.all_reduce_max(len(parts)) - len(parts) if self.sharded else 0
        observed = self.saliency is not None and observe
        for part in parts:
            rows = [own[k] for k in part]
            norms = plain = None
            output = self.runner.run([row for _, row in rows], logits, return_hidden=observed)
            if observed and terms[0].side == "forget":
                plain, norms = self._unweighted(terms[0], [row for _, row in rows], output)
                saliencies.append((output.batch, norms))
                output = self._weighted_pass([row for _, row in rows], logits, output)
            loss = self._loss(terms, rows, output, means, norms, plain, observe)
            slopes = self._accumulate(grads, loss, output, parameters)
            if slopes is not None:
                saliencies.append((output.batch, token_norms(slopes * len(terms[0].rows), output.batch)))
        for _ in range(missing):
            for _ in range(1 + (observed and terms[0].side == "forget")):  # as many as the other processes make
                output = self.runner.run([self._spare], logits=False)
                torch.autograd.grad(output.logprob.sum(), list(parameters.values()), allow_unused=True)
        if observed:  # once per step, so that micro-batches change nothing
            self._observe(terms[0].side, saliencies)
        grads, means = self._reduce(grads, means, parameters)
        return grads, {side: float(value) for side, value in means.items()}

    def observe(self, term: Term) -> None:
        """Let the running token saliency see the rows of a term, without a gradient of any parameter."""
        if self.saliency is None:
            return
        saliencies: Saliencies = []
        for part in chunks([self.dataset.encoded[row].length for row in term.rows], self.micro):
            rows = [term.rows[k] for k in part]
            output = self.runner.run(rows, self.losses.wants_logits(term.side, term.retain_loss), return_hidden=True)
            saliencies.append((output.batch, self._unweighted(term, rows, output)[1]))
        self._observe(term.side, saliencies)

    def _unweighted(self, term: Term, rows: Sequence[int], output: ForwardOutput) -> tuple[Tensor, Tensor]:
        """The losses without token weights, [B], and the `token_norms` of their gradient, [B, A].

        Weights made of the weighted loss would multiply themselves from step to step. The graph stays for the weighted
        loss, whose gradient differs from this one by more than a factor: a token's loss reaches all tokens before it.
        """
        forget = term.side == "forget"
        losses = (
            self.losses.unweighted(rows, output)
            if forget
            else self.losses.of(term.side, rows, output, term.retain_loss)
        )
        assert output.hidden is not None
        (slopes,) = torch.autograd.grad(losses.sum(), [output.hidden], retain_graph=forget and not self.sharded)
        return losses.detach(), token_norms(slopes, output.batch)

    def _weighted_pass(self, rows: Sequence[int], logits: bool, output: ForwardOutput) -> ForwardOutput:
        """The pass whose weighted loss is taken: the same graph, or a new one where shards are freed after a pass."""
        return self.runner.run(rows, logits) if self.sharded else replace(output, hidden=None)

    def _loss(
        self,
        terms: Sequence[Term],
        rows: Sequence[tuple[Term, int]],
        output: ForwardOutput,
        means: dict[Side, Tensor],
        norms: Tensor | None,
        plain: Tensor | None,
        observe: bool,
    ) -> Tensor:
        """The weighted loss of one pass; its share of each mean is added to `means`.

        Args:
            terms: one or both sides of the step.
            rows: the rows of the pass, each with its term.
            output: the pass.
            means: mean loss of each side.
            norms: see `LossInputs.of`.
            plain: the forget losses without token weights, which the mean is then of: weights change with every step.
            observe: whether the method's targets follow these losses.
        """
        loss = torch.zeros((), device=self.runner.device)
        for term in terms:
            places = [place for place, (t, _) in enumerate(rows) if t is term]
            if not places:
                continue
            own_rows, own_output = [rows[place][1] for place in places], output.select(places)
            losses = self.losses.of(term.side, own_rows, own_output, term.retain_loss, norms)
            if term.side == "forget" and observe:
                self.losses.record(own_rows, own_output)
            mean = losses.sum() / len(term.rows)
            means[term.side] += (mean if plain is None else plain.sum() / len(term.rows)).detach()
            loss = loss + term.weight * mean
        return loss

    def _accumulate(
        self, grads: Gradients, loss: Tensor, output: ForwardOutput, parameters: Parameters
    ) -> Tensor | None:
        """Add the gradients of one pass to `grads`; returns that of `output.hidden`, if there is one."""
        hidden = [output.hidden] if output.hidden is not None else []
        values = torch.autograd.grad(loss, [*parameters.values(), *hidden], allow_unused=True)
        for name, g in zip(parameters, values, strict=False):
            if g is not None:
                grads[name] = grads[name] + g if name in grads else g
        return values[-1] if hidden else None

    def _observe(self, side: Side, saliencies: Saliencies) -> None:
        """Add the saliency of this step's tokens, of all processes, to the running averages."""
        assert self.saliency is not None
        device = self.runner.device
        inputs = [batch.mask[:, 1:] & batch.mask[:, :-1] for batch, _ in saliencies]
        ids, norms = torch.zeros(0, dtype=torch.int64, device=device), torch.zeros(0, device=device)
        if saliencies:
            ids = torch.cat([batch.labels[:, :-1][m] for (batch, _), m in zip(saliencies, inputs, strict=True)])
            norms = torch.cat([norms[:, :-1][m].float() for (_, norms), m in zip(saliencies, inputs, strict=True)])
        ids, norms = self.context.all_gather_ragged(ids), self.context.all_gather_ragged(norms)
        if len(ids):
            self.saliency.observe(side, ids, norms)

    def _reduce(
        self, grads: Gradients, means: dict[Side, Tensor], parameters: Parameters
    ) -> tuple[Gradients, dict[Side, Tensor]]:
        """Sums over the processes; a parameter without a gradient in any of them stays absent."""
        if self.context.num_processes == 1:
            return grads, means
        present = torch.tensor([float(name in grads) for name in parameters], device=self.runner.device)
        own = [grads.get(name, torch.zeros_like(p)) for name, p in parameters.items()]
        counts, *sums = self.context.all_reduce_sum([present, *means.values(), *own])
        means = dict(zip(means, sums, strict=False))
        named = zip(parameters, sums[len(means) :], counts.tolist(), strict=True)
        return {name: g for name, g, count in named if count}, means

    def state(self) -> dict[str, Any]:
        return {"saliency": self.saliency.state if self.saliency else {}}

    def restore(self, state: dict[str, Any]) -> None:
        if self.saliency:
            self.saliency.state = state["saliency"]


def token_norms(gradient: Tensor, batch: Batch) -> Tensor:
    """Length of `gradient` [B, T, H] where each answer token is an input, [B, A]; 0 where it is none, as the last."""
    norms = torch.zeros(batch.mask.shape, device=gradient.device)
    inputs = batch.mask[:, 1:] & batch.mask[:, :-1]  # token a is at position index[a + 1]
    norms[:, :-1] = gradient.norm(dim=-1).float().gather(1, batch.index[:, 1:]) * inputs
    return norms
