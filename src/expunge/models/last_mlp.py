"""The MLP of the last block, run at answer positions only.

Attention needs every position of its input. The MLP works position by position, and only the head follows the last
one, which is read at answer positions. The MLP is found by its behavior, not by its name, and checked before use;
results are equal up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from expunge.errors import InputError
from expunge.models.adapters import block_stack
from expunge.models.collate import Batch
from expunge.models.forward import answer_forward, hook_block_input, relative_difference


@contextmanager
def only_answer_positions(part: nn.Module | None, batch: Batch) -> Iterator[None]:
    """Inside, `part` gets [1, n, H], the n positions of `batch` that predict answer tokens; its output is 0 elsewhere.

    None changes nothing.
    """
    if part is None:
        yield
        return
    rows = torch.arange(len(batch), device=batch.index.device).unsqueeze(-1) * batch.input_ids.shape[1]
    positions = (rows + batch.index)[batch.mask]
    shapes: list[torch.Size] = []

    def select(hidden: Tensor) -> Tensor:
        shapes.append(hidden.shape)
        return hidden.reshape(-1, hidden.shape[-1]).index_select(0, positions).unsqueeze(0)

    def scatter(_: nn.Module, __: Any, output: Tensor) -> Tensor:
        shape, states = shapes.pop(), output.squeeze(0)
        full = states.new_zeros((shape[:-1].numel(), states.shape[-1]))
        return full.index_copy(0, positions, states).view(shape)

    with hook_block_input(part, select), part.register_forward_hook(scatter):
        yield


@torch.no_grad()
def find_position_wise_mlp(module: Any, batch: Batch) -> nn.Module | None:
    """The largest part of the last block that works position by position.

    Found by trial on random states and checked on the answers of `batch`.

    Returns:
        None where there is no such part, and for weights that are sharded over processes, where a part cannot be
        tried alone.
    """
    if any(hasattr(weight, "placements") for weight in module.parameters()):
        return None
    try:
        stack, _ = block_stack(module)
    except InputError:
        return None
    weight = module.get_output_embeddings().weight
    states = torch.randn((1, 3, weight.shape[-1]), generator=torch.Generator().manual_seed(0))
    states = states.to(weight.device, weight.dtype)
    parts = [part for part in module.get_submodule(stack)[-1].children() if _is_position_wise(part, states)]
    part = max(parts, key=lambda p: sum(w.numel() for w in p.parameters()), default=None)
    if part is None:
        return None
    plain = answer_forward(module, batch).logits[batch.mask]
    with only_answer_positions(part, batch):
        logits = answer_forward(module, batch).logits[batch.mask]
    return part if relative_difference(logits, plain) <= torch.finfo(weight.dtype).eps ** 0.5 else None


def _is_position_wise(part: Callable[..., Any], states: Tensor) -> bool:
    """Whether `part` gives the same for the last of `states` [1, T, H] alone as among the others."""
    try:
        whole, alone = part(states), part(states[:, -1:])
    except Exception:  # it needs more than a hidden state (attention), or other shapes
        return False
    same_shape = isinstance(whole, Tensor) and isinstance(alone, Tensor) and whole.shape == states.shape
    return same_shape and torch.allclose(whole[:, -1:], alone, rtol=1e-2, atol=1e-3 * float(whole.abs().max()))
