"""The Gaussian mechanism on gradients: clip each unit's gradient (a person, a record), sum, add noise, divide.

The sum is divided by the *expected* number of units in a draw. The number drawn would reveal who was in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from expunge.gradients.base import Gradients, upcast


def unit_norms(per_unit: Gradients) -> Tensor:
    """2-norm of every unit's gradient over all tensors together, [U]; `per_unit` holds [U, ...] tensors."""
    squares = [upcast(g).flatten(1).square().sum(1) for g in per_unit.values()]
    return torch.stack(squares).sum(0).sqrt()


def clipped_sum(per_unit: Gradients, limit: float) -> Gradients:
    """The sum over units of their gradients, each scaled to a norm of at most `limit`.

    `per_unit` holds [U, ...] tensors of equal U. A gradient that is not finite makes the sum so.
    """
    if not limit > 0:
        raise ValueError(f"the limit of a unit's norm must be positive, got {limit}")
    scale = (limit / unit_norms(per_unit)).clamp(max=1.0)  # a zero gradient: 1
    return {name: torch.tensordot(scale, upcast(g), dims=1) for name, g in per_unit.items()}


def noised_mean(total: Gradients, std: float, expected: float, normal: Callable[[torch.Size], Tensor]) -> Gradients:
    """(total + std * noise) / expected.

    Args:
        total: Sum over units.
        std: Standard deviation of the noise on every entry of the sum: noise multiplier times clipping limit.
        expected: Mean number of units in a draw.
        normal: Draws standard normal values of a shape; called once per tensor, in the order of `total`.
    """
    if not expected > 0:
        raise ValueError(f"the expected number of units must be positive, got {expected}")
    return {name: (g + std * normal(g.shape).to(g.device, g.dtype)) / expected for name, g in total.items()}


def paper_formula(q: float, epsilon: float, delta: float) -> float:
    """q sqrt(2 ln(1.25 / delta)) / epsilon, the noise multiplier as arXiv 2511.19498 (eq. 8) prints it.

    No guarantee: it ignores the number of steps and the clipping limit, and is linear in the sampling rate q.
    Sound for one step on all units (q = 1) with epsilon up to 1.
    """
    return q * math.sqrt(2 * math.log(1.25 / delta)) / epsilon
