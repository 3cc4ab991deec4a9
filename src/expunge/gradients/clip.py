"""Clip a whole gradient to a total norm, after the rule has combined it."""

from __future__ import annotations

import torch

from expunge.gradients.base import Gradients, upcast


def clip_total_norm(grads: Gradients, limit: float) -> tuple[Gradients, torch.Tensor]:
    """(grads scaled to a 2-norm of at most `limit`, the norm before), the norm over all tensors together.

    Gradients within the limit come back bit for bit. A norm that is not finite is returned as it is, and the
    gradients are then worthless: skip the step. The norm is a tensor on the gradients' device.
    """
    if not limit > 0:
        raise ValueError(f"the limit of a gradient norm must be positive, got {limit}")
    if not grads:
        return {}, torch.zeros(())
    norms = [torch.linalg.vector_norm(upcast(g)) for g in grads.values()]
    norm = torch.linalg.vector_norm(torch.stack([n.to(norms[0].device) for n in norms]))
    scale = (limit / norm).clamp(max=1.0)
    return {name: (upcast(g) * scale.to(g.device)).to(g.dtype) for name, g in grads.items()}, norm
