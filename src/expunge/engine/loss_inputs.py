"""From what a pass gave to the losses of its rows: everything that a method may look at is put together here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from expunge.engine.floors import LossFloors
from expunge.engine.forward import ForwardOutput
from expunge.engine.reference import Reference, pad
from expunge.engine.rows import ForgetExample
from expunge.gradients.saliency import Side, TokenSaliency
from expunge.methods.base import REFERENCE_LOSSES, Method, ModelOutputs, RetainLoss, retain_loss


@dataclass(frozen=True)
class LossInputs:
    """Losses [B] of either side of a step; `rows` are the table's positions.

    Surprising: asking for forget losses also shows them to the floors of the run.
    """

    method: Method
    rows: Sequence[ForgetExample]
    reference: Mapping[Side, Reference]
    saliency: TokenSaliency | None
    floors: LossFloors | None

    def wants_logits(self, side: Side, retain_kind: RetainLoss) -> bool:
        """Does this side need whole distributions?"""
        return self.method.requires().logits if side == "forget" else retain_kind in REFERENCE_LOSSES

    def of(self, side: Side, rows: Sequence[int], passed: ForwardOutput, retain_kind: RetainLoss) -> Tensor:
        """The losses of `rows`, which `passed` holds in this order."""
        return self._forget(rows, passed) if side == "forget" else self._retain(rows, passed, retain_kind)

    def _forget(self, rows: Sequence[int], passed: ForwardOutput) -> Tensor:
        batch, needs = passed.batch, self.method.requires()
        mine = [self.rows[k] for k in rows] if needs.rows != "relabel" else []
        level = mine[0].level if needs.levels else None
        extra: dict[str, Any] = {"level": level}
        if "forget" in self.reference:
            extra["reference"] = self.reference["forget"].outputs(rows, batch)
        if needs.token_weights != "none":
            beta = self._factors(mine, batch.mask) if mine else self.method.token_factor(level)
            extra["weights"] = (
                self.saliency.weights(batch.labels, batch.mask, beta) if self.saliency else batch.mask * beta
            )
        if needs.rows == "twin":
            extra |= {
                "teacher": pad([r.teacher for r in mine if r.teacher is not None], batch.mask.shape[1]),
                "is_gold": torch.tensor([r.is_gold for r in mine], device=passed.logprob.device),
            }
        if self.floors:
            extra["floor"] = self.floors.now[list(rows)]
        out = ModelOutputs(passed.logprob, batch.mask, batch.labels, passed.logits, **extra)
        if self.floors:
            self.floors.see(rows, out.answer_nll.detach())
        return self.method.forget_loss(out)

    def _factors(self, rows: Sequence[ForgetExample], mask: Tensor) -> Tensor:
        """beta of every token [B, A]: of its own concept level where that is known, else of its record's."""
        width = mask.shape[1]
        found = [
            [self.method.token_factor(level or row.level) for level in (*row.token_levels, *[None] * width)[:width]]
            for row in rows
        ]
        return torch.tensor(found, device=mask.device)

    def _retain(self, rows: Sequence[int], passed: ForwardOutput, kind: RetainLoss) -> Tensor:
        reference = self.reference["retain"].outputs(rows, passed.batch) if kind in REFERENCE_LOSSES else None
        out = ModelOutputs(passed.logprob, passed.batch.mask, passed.batch.labels, passed.logits, reference=reference)
        return retain_loss(kind, out)
