"""Passes without gradients that continue from keys and values: of a prompt, or of the beginning of many prompts."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from expunge.models.forward import cache_argument, hook_head_input
from expunge.models.prompt_template import Encoded
from expunge.models.vision.feature_cache import cached_image_features
from expunge.models.vision.inputs import NO_IMAGES, ImageBatch

MIN_TOKENS = 8  # a shorter common beginning does not pay for a pass of its own


def common_beginning(items: Sequence[Encoded]) -> int:
    """Tokens with which all prompts begin, less the last of the shortest; 0 where a pass of its own does not pay."""
    if len(items) < 2 or any(item.image for item in items):
        return 0
    count = min(len(item.prompt) for item in items) - 1
    for k in range(count):
        if any(item.prompt[k] != items[0].prompt[k] for item in items):
            count = k
            break
    return count if count >= MIN_TOKENS else 0


def begin_pass(module: nn.Module, prefix: Sequence[int], ids: Tensor, mask: Tensor) -> dict[str, Any]:
    """Arguments of a pass over `ids` [B, T] that continues from the keys and values of `prefix`, run once for all."""
    from transformers.cache_utils import DynamicCache

    start, whole = torch.tensor([list(prefix)]), DynamicCache()  # also where a window slides: masks count from 0
    last = torch.zeros_like(start, dtype=torch.bool)
    last[:, -1] = True
    _, cache = run_pass(
        module,
        last,
        NO_IMAGES,
        input_ids=start,
        attention_mask=torch.ones_like(start),
        use_cache=True,
        **cache_argument(module, whole),
    )
    check_cache(cache)
    device = next(module.parameters()).device
    return {
        "input_ids": ids,
        "attention_mask": torch.cat([mask.new_ones((len(ids), len(prefix))), mask], 1),
        "position_ids": len(prefix) + (mask.cumsum(-1) - 1).clamp(min=0),
        "use_cache": True,
        **cache_argument(module, rows_of(cache, torch.zeros(len(ids), dtype=torch.int64, device=device))),
    }


def slides(module: Any) -> bool:
    """Whether some layer attends to a window of the last positions only."""
    from transformers.cache_utils import DynamicCache

    return any(layer.is_sliding for layer in DynamicCache(config=module.config).layers)


def run_pass(module: Any, where: Tensor, images: ImageBatch, **inputs: Any) -> tuple[Tensor, Any]:
    """Logits [N, V] in float32 at the N positions where `where` [B, T] is True, row by row, and the cache."""
    device = next(module.parameters()).device
    where, images = where.to(device), images.to(device)
    inputs = {name: x.to(device) if isinstance(x, Tensor) else x for name, x in inputs.items()}
    with hook_head_input(module, lambda h: h[where].unsqueeze(0)), cached_image_features(module, images):
        output = module(**inputs, **images.model_inputs(inputs["input_ids"]))
    logits: Tensor = output.logits
    if logits.shape[:2] != (1, int(where.sum())):
        raise RuntimeError(f"the output head of {type(module).__name__} does not take [1, N, H]: got {logits.shape}")
    return logits[0].float(), getattr(output, "past_key_values", None)


def check_cache(cache: Any) -> None:
    """Only layers known to grow by new tensors can be shared by several passes: a subclass may hold more."""
    from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

    known = (DynamicLayer, DynamicSlidingWindowLayer)
    others = [type(x).__name__ for x in getattr(cache, "layers", ()) if type(x) not in known]
    if type(cache) is not DynamicCache or others:
        raise RuntimeError(f"a cache of {', '.join([type(cache).__name__, *others])} cannot serve several rows")


def rows_of(cache: Any, rows: Tensor) -> Any:
    """A cache with the entries of `rows`, repeated as they are; `cache` itself does not change."""
    selected = copy.copy(cache)
    selected.layers = [copy.copy(layer) for layer in cache.layers]
    selected.batch_select_indices(rows)
    return selected
