"""The residual stream: hidden states between the transformer blocks of a model, read, changed, and read out.

Blocks are found by structure, and what follows the last one (norm, projection, head, soft cap) is run as the model's
own forward pass; no architecture is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from expunge.models.blocks import block_stack
from expunge.models.collate import Batch
from expunge.models.forward import answer_forward, gather_positions
from expunge.models.frozen_prefix import Boundary, substitute

Change = Callable[[Tensor], Tensor]


def block_count(module: nn.Module) -> int:
    """Number of transformer blocks."""
    return block_stack(module)[1]


def spread_blocks(count: int, most: int) -> tuple[int, ...]:
    """At most `most` of `count` block numbers, evenly spread; the last block is always among them.

    8 of 30 gives 3, 7, 11, 14, 18, 22, 26, 29.
    """
    chosen = min(count, most)
    return tuple(-(-count * (k + 1) // chosen) - 1 for k in range(chosen))


@contextmanager
def change_block_outputs(module: nn.Module, changes: Mapping[int, Change]) -> Iterator[None]:
    """Inside, the hidden state [B, T, H] that leaves a block is replaced by `changes[block]` of it."""
    blocks = module.get_submodule(block_stack(module)[0])
    with ExitStack() as stack:
        for number, change in changes.items():
            stack.enter_context(blocks[number].register_forward_hook(_output_hook(change)))  # type: ignore[index]
        yield


def _output_hook(change: Change) -> Callable[[nn.Module, Any, Any], Any]:
    def hook(_: nn.Module, __: Any, output: Any) -> Any:
        return change(output) if isinstance(output, Tensor) else (change(output[0]), *output[1:])

    return hook


@torch.no_grad()
def answer_states(module: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """States [blocks, B, A, H] that leave each block at the positions that predict answer tokens; logits [B, A, V]."""
    states, logits = block_states(module, batch, range(block_count(module)))
    return torch.stack(list(states)), logits


def block_states(module: nn.Module, batch: Batch, blocks: Sequence[int]) -> tuple[list[Tensor], Tensor]:
    """States [B, A, H] that leave some blocks at the positions that predict answer tokens; logits [B, A, V].

    Part of the graph.
    """
    states: dict[int, Tensor] = {}

    def record(number: int) -> Change:
        def keep(hidden: Tensor) -> Tensor:
            states[number] = gather_positions(hidden, batch.index)
            return hidden

        return keep

    with change_block_outputs(module, {k: record(k) for k in blocks}):
        logits = answer_forward(module, batch).logits
    return [states[k] for k in blocks], logits


def read_out(module: nn.Module, states: Tensor) -> Tensor:
    """Logits [B, A, V] of hidden states [B, A, H] as if they had left the last block, position by position.

    Part of the graph.
    """
    stack, count = block_stack(module)
    ids = torch.zeros(states.shape[:2], dtype=torch.int64, device=states.device)
    with ExitStack() as inside:
        if count > 1:  # the last block alone runs, on states that do not count
            inside.enter_context(substitute(module, Boundary(stack, count - 1, count), states))
        inside.enter_context(change_block_outputs(module, {count - 1: lambda _: states}))
        logits: Tensor = module(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
    return logits.float()


def place_states(hidden: Tensor, states: Tensor, batch: Batch) -> Tensor:
    """`hidden` [B, T, H] with `states` [B, A, H] at the positions that predict answer tokens."""
    rows = torch.arange(len(batch), device=hidden.device).unsqueeze(-1).expand_as(batch.index)
    placed = hidden.clone()
    placed[rows[batch.mask], batch.index[batch.mask]] = states[batch.mask].to(hidden.dtype)
    return placed


def without_direction(hidden: Tensor, direction: Tensor) -> Tensor:
    """`hidden` [B, T, H] less its part along a unit vector [H], or along one for each row, [B, H]."""
    unit = direction if direction.dim() == 1 else direction.unsqueeze(1)
    unit = unit.to(hidden.dtype)
    return hidden - (hidden * unit).sum(-1, keepdim=True) * unit
