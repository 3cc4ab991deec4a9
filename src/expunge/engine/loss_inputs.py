"""From a forward pass to the losses of its rows: everything that a method may use is put together here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from expunge.engine.dataset import RunDataset
from expunge.engine.forward import ForwardOutput
from expunge.engine.reference import Reference
from expunge.gradients.saliency import Side, TokenSaliency
from expunge.methods.base import REFERENCE_LOSSES, Method, ModelOutputs, RetainLoss, retain_loss
from expunge.methods.examples import Example
from expunge.models.likelihoods import answer_nll


@dataclass(frozen=True)
class LossInputs:
    """Losses [B] of either side of a step; rows are positions in `dataset.examples`."""

    method: Method
    dataset: RunDataset
    reference: Mapping[Side, Reference]
    saliency: TokenSaliency | None
    run: Callable[[Sequence[int], bool], ForwardOutput] | None = None  # a further pass, for alternates

    def wants_logits(self, side: Side, retain_kind: RetainLoss) -> bool:
        """Does this side need whole distributions?"""
        return self.method.requirements().logits if side == "forget" else retain_kind in REFERENCE_LOSSES

    def of(
        self,
        side: Side,
        rows: Sequence[int],
        output: ForwardOutput,
        retain_kind: RetainLoss,
        norms: Tensor | None = None,
    ) -> Tensor:
        """The losses of `rows`, which `output` holds in this order.

        Args:
            side: forget or retain.
            rows: positions in the examples.
            output: the pass over them.
            retain_kind: the loss of a retain term.
            norms: gradient norms of the forget answers' tokens in this step, [B, A], for saliency by occurrence.
        """
        if side == "forget":
            outputs = self._forget(rows, output)
            if self.method.requirements().token_weights != "none":
                outputs = replace(outputs, weights=self._weights(rows, output, norms))
            return self.method.forget_loss(outputs)
        return retain_loss(retain_kind, self._retain(rows, output, retain_kind))

    def unweighted(self, rows: Sequence[int], output: ForwardOutput) -> Tensor:
        """The forget losses of `rows` with weight 1 on every token: what eq. 13 takes the gradient of."""
        outputs = self._forget(rows, output)
        return self.method.forget_loss(replace(outputs, weights=output.batch.mask.float()))

    def record(self, rows: Sequence[int], output: ForwardOutput) -> None:
        """Hand the losses of forget rows to targets that a method has built itself."""
        if self.method.requirements().targets is None:
            return
        nll = answer_nll(output.logprob.detach(), output.batch.mask)
        self.dataset.targets.record_losses([self.dataset.examples[k].row for k in rows], nll)

    def _forget(self, rows: Sequence[int], output: ForwardOutput) -> ModelOutputs:
        batch, needs = output.batch, self.method.requirements()
        examples = [self.dataset.examples[k] for k in rows]
        extra: dict[str, Any] = {"level": examples[0].level if needs.levels else None}
        if "forget" in self.reference:
            extra["reference"] = self.reference["forget"].outputs(rows, batch)
        if needs.targets:
            fields = self.dataset.targets.batch_fields([e.row for e in examples], batch.mask.shape[1])
            extra["targets"] = {name: fields[name] for name in needs.targets}
        if needs.alternates:
            extra["alternate"] = self._alternate(rows)
        return ModelOutputs(output.logprob, batch.mask, batch.labels, output.logits, **extra)

    def _weights(self, rows: Sequence[int], output: ForwardOutput, norms: Tensor | None) -> Tensor:
        """Token weights of forget rows, [B, A]."""
        batch = output.batch
        beta = self._factors([self.dataset.examples[k] for k in rows], batch.mask)
        return self.saliency.weights(batch.labels, batch.mask, beta, norms) if self.saliency else batch.mask * beta

    def _alternate(self, rows: Sequence[int]) -> ModelOutputs:
        """The other answers of forget rows, in a pass of their own."""
        assert self.run is not None
        others = self.dataset.alternates_of(rows)
        output = self.run(others, self.method.requirements().logits)
        batch = output.batch
        reference = self.reference["forget"].outputs(others, batch) if "forget" in self.reference else None
        return ModelOutputs(output.logprob, batch.mask, batch.labels, output.logits, reference=reference)

    def _factors(self, examples: Sequence[Example], mask: Tensor) -> Tensor:
        """beta of every token [B, A]: of its own concept level where that is known, else of its record's."""
        width = mask.shape[1]
        factors = [
            [self.method.token_factor(level or e.level) for level in (*e.token_levels, *[None] * width)[:width]]
            for e in examples
        ]
        return torch.tensor(factors, device=mask.device)

    def _retain(self, rows: Sequence[int], output: ForwardOutput, kind: RetainLoss) -> ModelOutputs:
        reference = self.reference["retain"].outputs(rows, output.batch) if kind in REFERENCE_LOSSES else None
        return ModelOutputs(output.logprob, output.batch.mask, output.batch.labels, output.logits, reference=reference)
