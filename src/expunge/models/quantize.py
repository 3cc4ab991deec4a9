"""Weight-only quantization, simulated: weights are rounded to a few levels per group and stored as before.

Deployed models are often quantized, which may restore what unlearning only suppressed. Symmetric, one scale per
group of a row, round half to even; embeddings, head, norms and biases keep their precision.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from expunge.models.adapters import block_of, block_stack
from expunge.models.fused_weights import fused_weights

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


@torch.no_grad()
def quantize(module: Any, bits: int) -> None:
    """Round the weights of every linear layer and of every stack of experts in the blocks, in place."""
    stack, _ = block_stack(module)
    for name, child in module.named_modules():
        if block_of(name, stack) is None:
            continue
        if isinstance(child, nn.Linear):
            child.weight.copy_(round_to_grid(child.weight, bits))
        elif type(child).__name__ == "Conv1D":  # weight [in, out]
            child.weight.copy_(round_to_grid(child.weight.T, bits).T)
    for name, parameter in fused_weights(module, stack):
        owner = module.get_submodule(name.rpartition(".")[0])
        if getattr(owner, "is_transposed", False):  # weights [experts, in, out]
            parameter.copy_(round_to_grid(parameter.transpose(-1, -2), bits).transpose(-1, -2))
        else:
            parameter.copy_(round_to_grid(parameter, bits))
