"""The feed-forward part of the last block, run at answer positions only: what it says elsewhere nobody reads.

Attention needs every position of a block's input, the feed-forward part works position by position, and after the
last one only the head follows, which is asked at answer positions. Equal up to rounding, and checked before use.
Surprising: the part is not found by its name but by what it does.
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
from expunge.models.forward import answer_forward


@contextmanager
def only_answer_positions(part: nn.Module | None, batch: Batch) -> Iterator[None]:
    """Inside, `part` sees [1, n, H], the n places of a pass over `batch` that predict answer tokens; zeros elsewhere.

    None changes nothing.
    """
    if part is None:
        yield
        return
    rows = torch.arange(len(batch), device=batch.index.device).unsqueeze(-1) * batch.input_ids.shape[1]
    places = (rows + batch.index)[batch.mask]
    shape: list[torch.Size] = []

    def take(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        shape.append(args[0].shape)
        return (args[0].reshape(-1, args[0].shape[-1]).index_select(0, places).unsqueeze(0), *args[1:])

    def put(_: nn.Module, __: Any, output: Tensor) -> Tensor:
        found = output.squeeze(0)
        full = found.new_zeros((shape[-1][:-1].numel(), found.shape[-1]))
        return full.index_copy(0, places, found).view(shape.pop())

    handles = [part.register_forward_pre_hook(take), part.register_forward_hook(put)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def find_position_wise_mlp(module: Any, batch: Batch) -> nn.Module | None:
    """The largest part of the last block that works position by position, if leaving it out elsewhere changes nothing.

    Found by trial on random states, and checked on the answers of `batch`. None where there is no such part, and for
    a model whose weights are spread over processes, where a part cannot be tried alone.
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
    parts = [part for part in module.get_submodule(stack)[-1].children() if _by_position(part, states)]
    part = max(parts, key=lambda p: sum(w.numel() for w in p.parameters()), default=None)
    if part is None:
        return None
    plain = answer_forward(module, batch).logits[batch.mask]
    with only_answer_positions(part, batch):
        found = answer_forward(module, batch).logits[batch.mask]
    allowed = torch.finfo(weight.dtype).eps ** 0.5 * plain.abs().max()
    return part if bool((found - plain).abs().max() <= allowed) else None


def _by_position(part: Callable[..., Any], states: Tensor) -> bool:
    """Does `part`, given the last of `states` [1, T, H] alone, say what it says there among the others?"""
    try:
        whole, alone = part(states), part(states[:, -1:])
    except Exception:  # it needs more than a hidden state (attention), or other shapes
        return False
    same_shape = isinstance(whole, Tensor) and isinstance(alone, Tensor) and whole.shape == states.shape
    return same_shape and torch.allclose(whole[:, -1:], alone, rtol=1e-2, atol=1e-3 * float(whole.abs().max()))
