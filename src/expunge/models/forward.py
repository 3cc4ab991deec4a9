"""One forward pass with the output head at answer positions only.

A hook in front of the head gathers `[B, T, H] -> [B, A, H]`; everything after the head (soft-capping, scaling)
stays the model's own. No architecture is named here.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from expunge.models.collate import Batch
from expunge.models.vision.feature_cache import cached_image_features
from expunge.models.vision.inputs import NO_IMAGES, ImageBatch, ImageInputs


@contextmanager
def _head_at(head: nn.Module, index: Tensor) -> Iterator[None]:
    def take(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden = args[0]
        return (hidden.gather(1, index.unsqueeze(-1).expand(-1, -1, hidden.shape[-1])), *args[1:])

    handle = head.register_forward_pre_hook(take)
    try:
        yield
    finally:
        handle.remove()


@dataclass(frozen=True)
class Answers:
    """`logits` [B, A, V] float32 and, where asked for, the hidden state [B, T, H] that enters a watched block."""

    logits: Tensor
    hidden: Tensor | None = None

    def logprob(self, batch: Batch) -> Tensor:
        """log p of each answer token, [B, A], 0 outside the mask."""
        return answer_logprob(self.logits, batch)


def answer_logprob(logits: Tensor, batch: Batch) -> Tensor:
    """log p(y_t) from logits `[B, A, V]` without storing the full log-softmax twice; 0 outside the mask."""
    taken = logits.gather(-1, batch.labels.unsqueeze(-1)).squeeze(-1)
    return (taken - logits.logsumexp(-1)) * batch.mask


def answer_forward(module: nn.Module, batch: Batch, return_input_of: nn.Module | None = None) -> Answers:
    """Run `module` on `batch` and keep the logits that predict answer tokens.

    return_input_of  a block of it whose incoming hidden state is returned too, with its gradient enabled (token saliency)
    """
    seen: list[Tensor] = []
    inner: Any = module

    def keep(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        old = args[0] if args else kwargs["hidden_states"]
        seen.append(old if old.requires_grad else old.detach().requires_grad_(True))
        return ((seen[0], *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": seen[0]})

    handle = return_input_of.register_forward_pre_hook(keep, with_kwargs=True) if return_input_of else None
    try:
        with _head_at(inner.get_output_embeddings(), batch.index), cached_image_features(module, batch.images):
            output = module(**batch.inputs, use_cache=False)
    finally:
        if handle:
            handle.remove()
    logits: Tensor = output.logits
    if logits.shape[:2] != batch.index.shape:
        raise RuntimeError(f"the output head of {type(module).__name__} does not take [B, A, H]: got {logits.shape}")
    return Answers(logits.float(), seen[0] if seen else None)


@torch.no_grad()
def greedy(
    module: nn.Module,
    prompts: Sequence[tuple[int, ...]],
    eos: int,
    max_new_tokens: int,
    rows: int = 64,
    images: Sequence[ImageInputs | None] = (),
) -> list[list[int]]:
    """Greedy continuations, one list of ids per prompt, up to and including `eos`.

    Prompts of similar length share a batch, padded on the left: the mask hides the padding and position ids count
    from a row's own start, so a row says what it says alone. A model without position ids gets prompts of equal
    length only. No sequence outgrows the model's context. images: the picture of each prompt, where there are any.
    """
    limit = _context(module)
    done: list[list[int]] = [[] for _ in prompts]
    order = sorted(
        (k for k in range(len(prompts)) if min(max_new_tokens, limit - len(prompts[k])) > 0),
        key=lambda k: (-len(prompts[k]), k),
    )
    padded = takes_positions(module)
    while order:
        part = [k for k in order[:rows] if padded or len(prompts[k]) == len(prompts[order[0]])]
        order = order[len(part) :]
        most = [min(max_new_tokens, limit - len(prompts[k])) for k in part]
        seen = ImageBatch.of([images[k] for k in part]) if images else NO_IMAGES
        for k, said in zip(part, _continue(module, [prompts[k] for k in part], eos, most, padded, seen), strict=True):
            done[k] = said
    return done


def _continue(
    module: nn.Module, prompts: list[tuple[int, ...]], eos: int, most: list[int], padded: bool, seen: ImageBatch
) -> list[list[int]]:
    """One batch of `greedy`: at least one and at most `most[b]` new tokens per row; ends when every row has."""
    inner: Any = module
    device = next(module.parameters()).device
    longest = max(map(len, prompts))
    ids = torch.zeros((len(prompts), longest), dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for b, prompt in enumerate(prompts):
        ids[b, longest - len(prompt) :] = torch.tensor(prompt)
        mask[b, longest - len(prompt) :] = 1
    ids, mask, allowed = ids.to(device), mask.to(device), torch.tensor(most, device=device)
    position, last = (
        (mask.cumsum(-1) - 1).clamp(min=0),
        torch.tensor([[len(p) + m - 1] for p, m in zip(prompts, most, strict=True)], device=device),
    )
    said: list[list[int]] = [[] for _ in prompts]
    alive, cache, seen = allowed > 0, None, seen.to(device)
    whole = bool(seen.token_types[1])  # it counts positions by its pictures: every pass is over all that is there
    for count in range(1, max(most) + 1):
        more = {} if whole else {**continuing(module, cache), **({"position_ids": position} if padded else {})}
        index = torch.full((len(prompts), 1), ids.shape[1] - 1, device=device)
        with _head_at(inner.get_output_embeddings(), index), cached_image_features(module, seen):
            output = module(input_ids=ids, attention_mask=mask, use_cache=not whole, **seen.given(ids), **more)
        new = output.logits[:, -1].argmax(-1, keepdim=True)
        for b in alive.nonzero().flatten().tolist():
            said[b].append(int(new[b]))
        alive &= (new.squeeze(-1) != eos) & (allowed > count)
        if not alive.any():
            break
        ids = torch.cat([ids, new], -1) if whole else new
        seen = seen if whole else NO_IMAGES  # what follows the prompts is text
        cache = None if whole else output.past_key_values
        mask = torch.cat([mask, torch.ones_like(new)], -1)
        position = torch.minimum(position[:, -1:] + 1, last)  # a finished row runs along and must stay in context
    return said


def continuing(module: nn.Module, cache: Any) -> dict[str, Any]:
    """The argument that hands a cache of keys and values to a model; newer versions of transformers call it `cache`."""
    return {"cache" if takes(module, "cache") else "past_key_values": cache}


def takes_positions(module: nn.Module) -> bool:
    """May the model be told each token's position? Needed where rows are padded on the left."""
    return takes(module, "position_ids")


def takes(module: nn.Module, name: str) -> bool:
    """Does the forward pass of the model, adapters aside, have an argument of this name?"""
    wrapped: Any = module
    base = wrapped.get_base_model() if hasattr(wrapped, "get_base_model") else wrapped
    return name in inspect.signature(base.forward).parameters


def _context(module: nn.Module) -> int:
    config: Any = getattr(module, "config", None)
    config = config.get_text_config() if hasattr(config, "get_text_config") else config
    return int(getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None) or 1 << 30)
