"""Where the gradients of a step come from: the protocol that plain and private training implement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from expunge.gradients.base import Gradients
from expunge.gradients.saliency import Side
from expunge.methods.base import RetainLoss

Parameters = Mapping[str, nn.Parameter]
Means = dict[Side, float]


@dataclass(frozen=True)
class Term:
    """One side of a step.

    Attributes:
        side: forget or retain.
        rows: positions in the examples of the run.
        retain_loss: the loss of a retain term.
        weight: factor on the mean loss.
    """

    side: Side
    rows: Sequence[int]
    retain_loss: RetainLoss = "none"
    weight: float = 1.0


class GradientSource(Protocol):
    """Gradients of mean losses over a global batch."""

    def start_phase(self, rows: Sequence[int], parameters: Parameters) -> None:
        """Prepare for a phase that uses `rows` and trains `parameters`; may raise `RunFailed`."""

    def gradient(
        self, terms: Sequence[Term], step: int, parameters: Parameters, observe: bool = True
    ) -> tuple[Gradients, Means]:
        """Gradient of the weighted sum of the terms, and the mean loss of each side where it may be known.

        Args:
            terms: one or both sides of the step.
            step: number of the step.
            parameters: by name; a name without a gradient is absent from the result.
            observe: whether the batch enters the running token saliency, and the targets follow its losses.
        """

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""


def add_gradient(slopes: Sequence[Tensor], loss: Tensor, parameters: Parameters) -> None:
    """Add the gradient of a loss to `slopes`, one for each parameter; a parameter without a gradient adds nothing."""
    values = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    for slope, g in zip(slopes, values, strict=True):
        if g is not None:
            slope += g
