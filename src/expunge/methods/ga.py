"""Gradient ascent: raise the loss of the forget answers. The baseline that every paper reports."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from expunge.methods.base import Method, ModelOutputs, RetainLoss


class GA(Method, name="ga"):
    """Gradient ascent on the forget answers; without a clip it is unbounded and destroys the model.

    forget: -mean_t min(-log p(y_t), clip)     [B]
    """

    source = "arXiv 2401.06121"
    retain: ClassVar[RetainLoss] = "none"

    clip: float | None = Field(None, gt=0, description="leave tokens alone whose loss exceeds this (nats)")

    def forget_loss(self, out: ModelOutputs) -> Tensor:
        nll = -out.logprob if self.clip is None else (-out.logprob).clamp(max=self.clip)
        return -out.mean_t(out.weigh(nll))
