"""Muon (K. Jordan, 2024), in the variant with learning rates as for AdamW (J. Liu et al., arXiv 2502.16982, eq. 4).

`torch.optim.Muon` iterates in bfloat16 on every device, which a processor without it emulates, and takes one matrix at
a time. Here a processor iterates in float32, and matrices of one shape go together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration, as in K. Jordan's reference
ITERATIONS, EPSILON = 5, 1e-7
LR_SCALE = 0.2  # root mean square of an update of AdamW
TOGETHER = 1 << 23  # most entries that go together; a matrix with more goes alone


def orthogonalize(matrices: Tensor) -> Tensor:
    """Each matrix with its singular values moved close to 1 (between about .7 and 1.2) by five Newton-Schulz steps.

    Args:
        matrices: [N, A, B].

    Returns:
        [N, A, B], in bfloat16 on a GPU and in float32 elsewhere.
    """
    a, b, c = COEFFICIENTS
    x = matrices.bfloat16() if matrices.is_cuda else matrices.float()
    is_tall = x.shape[1] > x.shape[2]
    x = x.mT if is_tall else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=EPSILON)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if is_tall else x


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made orthogonal; for matrices alone.

    Args:
        params: matrices.
        lr: learning rate; an entry moves by about a fifth of it in the mean square, as under AdamW.
        weight_decay: decoupled weight decay.
        momentum: share of the past in the running mean of gradients; Nesterov's form.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float, weight_decay: float = 0.0, momentum: float = 0.95
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step of every matrix that has a gradient."""
        for group in self.param_groups:
            shapes: dict[tuple[torch.Size, torch.device], list[nn.Parameter]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    shapes.setdefault((parameter.shape, parameter.device), []).append(parameter)
            for (shape, _), parameters in shapes.items():
                count = max(1, TOGETHER // shape.numel())
                for start in range(0, len(parameters), count):
                    part = parameters[start : start + count]
                    self._step(part, group["lr"], group["weight_decay"], group["momentum"])

    def _step(self, parameters: list[nn.Parameter], lr: float, weight_decay: float, momentum: float) -> None:
        """A step of matrices of one shape."""
        ahead = []
        for parameter in parameters:
            grad = parameter.grad
            assert grad is not None
            mean = self.state[parameter].setdefault("momentum_buffer", torch.zeros_like(grad))
            mean.lerp_(grad, 1 - momentum)
            ahead.append(grad.lerp(mean, momentum))
        updates = orthogonalize(torch.stack(ahead))
        scale = lr * LR_SCALE * math.sqrt(max(parameters[0].shape))
        for parameter, update in zip(parameters, updates, strict=True):
            parameter.mul_(1 - lr * weight_decay)
            parameter.add_(update, alpha=-scale)
