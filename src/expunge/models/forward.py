"""One forward pass with the output head at answer positions only, and greedy generation.

A hook before the head gathers [B, T, H] -> [B, A, H]. What follows the head (soft-capping, scaling) stays the
model's own, and no architecture is named.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from expunge.models.collate import Batch, pad_ids
from expunge.models.vision.feature_cache import cached_image_features
from expunge.models.vision.inputs import NO_IMAGES, ImageBatch, ImageInputs


def hook_head_input(module: Any, change: Callable[[Tensor], Tensor]) -> RemovableHandle:
    """Pass `change(hidden)` to the output head of `module` until the handle is removed (`with` does it)."""
    head: nn.Module = module.get_output_embeddings()
    return head.register_forward_pre_hook(lambda _, args: (change(args[0]), *args[1:]))


def hook_block_input(block: nn.Module, change: Callable[[Any], Tensor]) -> RemovableHandle:
    """As `hook_head_input` for a transformer block, whose hidden state is the first argument or `hidden_states`."""

    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if args:
            return (change(args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": change(kwargs.get("hidden_states"))}

    return block.register_forward_pre_hook(hook, with_kwargs=True)


def gather_positions(hidden: Tensor, index: Tensor) -> Tensor:
    """`hidden` [B, T, H] at the positions `index` [B, A], as [B, A, H]."""
    return hidden.gather(1, index.unsqueeze(-1).expand(-1, -1, hidden.shape[-1]))


@dataclass(frozen=True)
class Answers:
    """`logits` [B, A, V] float32 and, if requested, the hidden state [B, T, H] that enters a block."""

    logits: Tensor
    hidden: Tensor | None = None

    def logprob(self, batch: Batch) -> Tensor:
        """log p of each answer token, [B, A], 0 outside the mask."""
        return answer_logprob(self.logits, batch)


def answer_logprob(logits: Tensor, batch: Batch) -> Tensor:
    """log p(y_t) from logits [B, A, V] without a full log-softmax, [B, A]; 0 outside the mask."""
    at_label = logits.gather(-1, batch.labels.unsqueeze(-1)).squeeze(-1)
    return (at_label - logits.logsumexp(-1)) * batch.mask


def answer_forward(module: nn.Module, batch: Batch, return_input_of: nn.Module | None = None) -> Answers:
    """Run `module` on `batch` and return the logits that predict answer tokens.

    `return_input_of` names a block of `module`; the hidden state that enters it is returned with gradient enabled.
    """
    hidden: list[Tensor] = []

    def record(state: Tensor) -> Tensor:
        hidden.append(state if state.requires_grad else state.detach().requires_grad_(True))
        return hidden[0]

    with (
        hook_block_input(return_input_of, record) if return_input_of else nullcontext(),
        hook_head_input(module, lambda h: gather_positions(h, batch.index)),
        cached_image_features(module, batch.images),
    ):
        logits: Tensor = module(**{"use_cache": False, **batch.inputs}).logits
    if logits.shape[:2] != batch.index.shape:
        raise RuntimeError(f"the output head of {type(module).__name__} does not take [B, A, H]: got {logits.shape}")
    return Answers(logits.float(), hidden[0] if hidden else None)


def relative_difference(logits: Tensor, reference: Tensor) -> float:
    """Largest absolute difference, as a share of the largest |reference|."""
    scale = reference.abs().max().clamp(min=torch.finfo(reference.dtype).tiny)
    return float((logits - reference).abs().max() / scale)


@torch.no_grad()
def greedy(
    module: nn.Module,
    prompts: Sequence[tuple[int, ...]],
    ends: Collection[int],
    max_new_tokens: int,
    rows: int = 64,
    images: Sequence[ImageInputs | None] = (),
) -> list[list[int]]:
    """Greedy continuations, one list of ids per prompt, up to and including the first of `ends`.

    Prompts of similar length share a batch of `rows`, padded on the left and masked, with position ids that count
    from the row's first token; so a row does not depend on its batch. A model without position ids gets prompts of
    equal length only. No sequence exceeds the model's context. `images` holds the image of each prompt, if any.
    """
    limit = context_length(module)
    done: list[list[int]] = [[] for _ in prompts]
    order = sorted(
        (k for k in range(len(prompts)) if min(max_new_tokens, limit - len(prompts[k])) > 0),
        key=lambda k: (-len(prompts[k]), k),
    )
    padded = takes(module, "position_ids")
    while order:
        part = [k for k in order[:rows] if padded or len(prompts[k]) == len(prompts[order[0]])]
        order = order[len(part) :]
        limits = [min(max_new_tokens, limit - len(prompts[k])) for k in part]
        batch = ImageBatch.of([images[k] for k in part]) if images else NO_IMAGES
        new = _continue(module, [prompts[k] for k in part], ends, limits, padded, batch)
        for k, ids in zip(part, new, strict=True):
            done[k] = ids
    return done


def _continue(
    module: nn.Module,
    prompts: list[tuple[int, ...]],
    ends: Collection[int],
    limits: list[int],
    padded: bool,
    images: ImageBatch,
) -> list[list[int]]:
    """One batch of `greedy`: at least one and at most `limits[b]` new tokens per row."""
    device = next(module.parameters()).device
    ids, mask = (x.to(device) for x in pad_ids(prompts, left=True))
    allowed, stops = torch.tensor(limits, device=device), torch.tensor(sorted(ends), dtype=torch.long, device=device)
    position = (mask.cumsum(-1) - 1).clamp(min=0)
    last = torch.tensor([[len(p) + m - 1] for p, m in zip(prompts, limits, strict=True)], device=device)
    new_ids: list[list[int]] = [[] for _ in prompts]
    alive, cache, images = allowed > 0, None, images.to(device)
    uncached = bool(images.token_types[1])  # positions depend on the images: every pass runs the whole sequence
    for count in range(1, max(limits) + 1):
        more = {} if uncached else {**cache_argument(module, cache), **({"position_ids": position} if padded else {})}
        with hook_head_input(module, _last_position), cached_image_features(module, images):
            output = module(
                input_ids=ids, attention_mask=mask, use_cache=not uncached, **images.model_inputs(ids), **more
            )
        new = output.logits[:, -1].argmax(-1, keepdim=True)
        for b in alive.nonzero().flatten().tolist():
            new_ids[b].append(int(new[b]))
        alive &= ~torch.isin(new.squeeze(-1), stops) & (allowed > count)
        if not alive.any():
            break
        ids = torch.cat([ids, new], -1) if uncached else new
        images = images if uncached else NO_IMAGES  # the continuation is text
        cache = None if uncached else output.past_key_values
        mask = torch.cat([mask, torch.ones_like(new)], -1)
        position = torch.minimum(position[:, -1:] + 1, last)  # a finished row stays within the context
    return new_ids


def _last_position(hidden: Tensor) -> Tensor:
    index = torch.full((len(hidden), 1), hidden.shape[1] - 1, device=hidden.device)
    return gather_positions(hidden, index)


def cache_argument(module: nn.Module, cache: Any) -> dict[str, Any]:
    """The argument that takes a cache of keys and values; newer versions of transformers call it `cache`."""
    return {"cache" if takes(module, "cache") else "past_key_values": cache}


def takes(module: Any, name: str) -> bool:
    """Whether the forward pass of the model, without its adapters, has an argument of this name."""
    base = module.get_base_model() if hasattr(module, "get_base_model") else module
    return name in inspect.signature(base.forward).parameters


def context_length(module: Any) -> int:
    """Longest sequence in tokens; 2^20 if the configuration does not say."""
    config: Any = getattr(module, "config", None)
    config = config.get_text_config() if hasattr(config, "get_text_config") else config
    return int(getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None) or 1 << 20)
