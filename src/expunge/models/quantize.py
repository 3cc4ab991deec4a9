"""Weight-only quantization, simulated: weights are rounded to a few levels per group and turned back.

Deployment rounds weights, and what was only pushed below the surface may come back with it (audit.md, section 4).
Symmetric, one scale per group of a row, half to even; embeddings, head, norms and biases keep their precision.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from expunge.models.adapters import block_of, block_stack

GROUP = 128  # weights of a row that share a scale


def round_to_grid(weight: Tensor, bits: int, group: int = GROUP) -> Tensor:
    """`weight` [out, in] on 2^bits - 1 levels, each group of a row scaled to its largest magnitude.

    int4 of (1, -.5, .26, .02) with step 1/7 gives (1, -.571, .286, 0).
    """
    most = 2 ** (bits - 1) - 1
    parts = []
    for part in torch.split(weight.detach().float(), group, dim=-1):
        peak = part.abs().amax(-1, keepdim=True).clamp(min=1e-12)
        parts.append((part * (most / peak)).round() * (peak / most))
    return torch.cat(parts, -1).to(weight.dtype)


def quantize(module: Any, bits: int) -> None:
    """Round the weights of every linear layer in the blocks, in place."""
    stack, _ = block_stack(module)
    with torch.no_grad():
        for name, child in module.named_modules():
            if isinstance(child, nn.Linear) and block_of(name, stack) is not None:
                child.weight.copy_(round_to_grid(child.weight, bits))
            elif type(child).__name__ == "Conv1D" and block_of(name, stack) is not None:  # weight [in, out]
                child.weight.copy_(round_to_grid(child.weight.T, bits).T)
