"""One forward pass with the output head at answer positions only.

A hook in front of the head gathers `[B, T, H] -> [B, A, H]`; everything after the head (soft-capping, scaling)
stays the model's own. No architecture is named here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from expunge.models.batches import Batch


@contextmanager
def _head_at(head: nn.Module, index: Tensor, seen: dict[str, Tensor]) -> Iterator[None]:
    def take(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden = args[0]
        seen["hidden"] = hidden.gather(1, index.unsqueeze(-1).expand(-1, -1, hidden.shape[-1]))
        return (seen["hidden"], *args[1:])

    handle = head.register_forward_pre_hook(take)
    try:
        yield
    finally:
        handle.remove()


@dataclass(frozen=True)
class Answers:
    """`logits` [B, A, V] float32 and, where asked for, the embedding output [B, T, H] they depend on."""

    logits: Tensor
    embedded: Tensor | None = None

    def logprob(self, batch: Batch) -> Tensor:
        """log p of each answer token, [B, A], 0 outside the mask."""
        return answer_logprob(self.logits, batch)


def answer_logprob(logits: Tensor, batch: Batch) -> Tensor:
    """log p(y_t) from logits `[B, A, V]` without storing the full log-softmax twice; 0 outside the mask."""
    taken = logits.gather(-1, batch.labels.unsqueeze(-1)).squeeze(-1)
    return (taken - logits.logsumexp(-1)) * batch.mask


def answer_forward(module: nn.Module, batch: Batch, with_embedding: bool = False) -> Answers:
    """Run `module` on `batch` and keep the logits that predict answer tokens.

    `with_embedding` also returns the output of the input embedding with its gradient enabled, for token saliency.
    """
    seen: dict[str, Tensor] = {}
    inner: Any = module
    handle = None
    if with_embedding:
        def keep(_: nn.Module, __: tuple[Any, ...], output: Tensor) -> Tensor:
            seen["embedded"] = output if output.requires_grad else output.detach().requires_grad_(True)
            return seen["embedded"]

        handle = inner.get_input_embeddings().register_forward_hook(keep)
    try:
        with _head_at(inner.get_output_embeddings(), batch.index, seen):
            output = module(input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False)
    finally:
        if handle:
            handle.remove()
    logits: Tensor = output.logits
    if logits.shape[:2] != batch.index.shape:
        raise RuntimeError(f"the output head of {type(module).__name__} does not take [B, A, H]: got {logits.shape}")
    return Answers(logits.float(), seen.get("embedded"))


@torch.no_grad()
def greedy(module: nn.Module, prompts: list[tuple[int, ...]], eos: int, max_new_tokens: int,
           rows: int = 64) -> list[list[int]]:
    """Greedy continuations, one list of ids per prompt, up to and including `eos`.

    Prompts of equal length share a batch, so nothing is padded and no mask can be wrong; the KV cache is used.
    """
    device = next(module.parameters()).device
    done: list[list[int]] = [[] for _ in prompts]
    by_size: dict[int, list[int]] = {}
    for k, prompt in enumerate(prompts):
        by_size.setdefault(len(prompt), []).append(k)
    limit = _context(module)
    for size, members in sorted(by_size.items()):
        for start in range(0, len(members), rows):
            part = members[start : start + rows]
            ids = torch.tensor([prompts[k] for k in part], device=device)
            cache = None
            alive = torch.ones(len(part), dtype=torch.bool, device=device)
            for _ in range(min(max_new_tokens, limit - size)):
                output = module(input_ids=ids, past_key_values=cache, use_cache=True)
                cache = output.past_key_values
                ids = output.logits[:, -1].argmax(-1, keepdim=True)
                for row in alive.nonzero().flatten().tolist():
                    done[part[row]].append(int(ids[row]))
                alive &= ids.squeeze(-1) != eos
                if not alive.any():
                    break
    return done


def _context(module: nn.Module) -> int:
    config: Any = getattr(module, "config", None)
    return int(getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None) or 1 << 30)
