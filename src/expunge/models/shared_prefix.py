"""One pass over the tokens with which all rows of a batch begin, for passes with gradients.

Chat prompts share their system turn and role headers. Keys and values of these tokens are computed once, and the rows
continue from them, as from the prefix of prefix tuning; gradients flow through both passes. Causal attention makes the
result equal to the plain pass up to rounding; `ForwardRunner` compares both on the model before it uses this one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from expunge.models.collate import Batch
from expunge.models.forward import Answers, answer_forward, cache_argument, hook_head_input, relative_difference, takes
from expunge.models.prefix_cache import PrefixCache

MIN_TOKENS = 8  # a shorter prefix does not pay for a second pass
MIN_SHARE = 0.1  # of the tokens of a batch that a shared prefix must save

States = Callable[[Tensor | None], AbstractContextManager[Any]]
"""Context of a pass that starts from stored hidden states [B, T, H], or from the embedding for None."""


@dataclass(frozen=True)
class ContinuedBatch(Batch):
    """Rows without their shared prefix, and the keys and values of it; `index` counts from the end of the prefix."""

    module: Any = None
    cache: Any = None
    prefix: int = 0

    @property
    def inputs(self) -> dict[str, Any]:
        """Keyword arguments of the model's forward pass."""
        rows, width = self.input_ids.shape
        before = self.attention_mask.new_ones((rows, self.prefix))
        position = torch.arange(self.prefix, self.prefix + width, device=self.input_ids.device).expand(rows, -1)
        return {
            "input_ids": self.input_ids,
            "attention_mask": torch.cat([before, self.attention_mask], 1),
            "position_ids": position,
            "use_cache": True,
            **cache_argument(self.module, self.cache),
        }


def shared_tokens(batch: Batch) -> int:
    """Tokens with which all rows of a batch begin and which predict no answer; 0 where sharing them does not pay."""
    rows, width = batch.input_ids.shape
    if rows < 2 or batch.images.inputs:
        return 0
    same = (batch.input_ids == batch.input_ids[:1]).all(0) & batch.attention_mask.bool().all(0)
    count = min(int(same.long().cumprod(0).sum()), int(batch.index[:, 0].min()))
    pays = count >= MIN_TOKENS and count * (rows - 1) >= MIN_SHARE * rows * width
    return count if pays else 0


def continue_prefix(
    module: Any, batch: Batch, prefix: int, hidden: Tensor | None, first: int, states: States
) -> ContinuedBatch:
    """Run the first `prefix` tokens once; the rest of the batch, which continues from their keys and values.

    Args:
        module: The model.
        batch: [B, T] tokens that begin equally.
        prefix: Tokens to share.
        hidden: Stored input of block `first`, [B, T, H]; None where every block runs.
        first: Blocks below it are passed through.
        states: Context of a pass over such states.
    """
    from transformers.cache_utils import DynamicCache, DynamicLayer

    rows = len(batch)
    cache = DynamicCache()
    ids = batch.input_ids[:1, :prefix]
    with states(None if hidden is None else hidden[:1, :prefix]), hook_head_input(module, lambda h: h[:, -1:]):
        cache = module(
            input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=True, **cache_argument(module, cache)
        ).past_key_values
    if any(type(layer) is not DynamicLayer for layer in cache.layers):
        raise RuntimeError(f"a cache of {type(cache.layers[0]).__name__} is not shared")
    for layer in cache.layers[:first]:  # entries of the right length, which nothing reads
        layer.update(*[torch.zeros((1, 1, prefix, 1), device=ids.device)] * 2)
    for layer in cache.layers:
        layer.keys, layer.values = (x.expand(rows, *x.shape[1:]) for x in (layer.keys, layer.values))
    return ContinuedBatch(
        batch.input_ids[:, prefix:],
        batch.attention_mask[:, prefix:],
        (batch.index - prefix) * batch.mask,
        batch.labels,
        batch.mask,
        module=module,
        cache=cache,
        prefix=prefix,
    )


def may_share(module: Any) -> bool:
    """Whether passes of this model can continue from keys and values; a caller compares one with the plain pass."""
    return takes(module, "position_ids") and not any(hasattr(weight, "placements") for weight in module.parameters())


_EXACT: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()  # models of which a pass was compared


def answer_forward_shared(
    module: Any, batch: Batch, cache: PrefixCache | None = None, rows: Sequence[int] = ()
) -> Answers:
    """As `answer_forward`, with the tokens shared with which all rows begin, where that gives the same.

    Both are compared on the first batch of a model; whether they agree depends on its architecture, not its weights.

    Args:
        module: The model.
        batch: The rows.
        cache: States of frozen lower blocks that the pass starts from.
        rows: The items of `cache` that `batch` holds.
    """
    prefix = shared_tokens(batch)
    if prefix and module not in _EXACT:
        _EXACT[module] = may_share(module) and _is_exact(module, batch.only(torch.arange(min(len(batch), 4))))
    hidden = cache.states(rows, batch) if cache else None

    def states(stored: Tensor | None) -> AbstractContextManager[None]:
        return cache.using(stored) if cache and stored is not None else nullcontext()

    part, rest = batch, hidden
    if prefix and _EXACT[module]:
        part = continue_prefix(module, batch, prefix, hidden, cache.boundary.first if cache else 0, states)
        rest = None if hidden is None else hidden[:, prefix:]
    with states(rest):
        return answer_forward(module, part)


@torch.no_grad()
def _is_exact(module: Any, batch: Batch) -> bool:
    prefix = shared_tokens(batch)
    plain = answer_forward(module, batch).logits[batch.mask]
    try:
        rest = continue_prefix(module, batch, prefix, None, 0, lambda _: nullcontext())
        logits = answer_forward(module, rest).logits[batch.mask]
    except Exception:  # a cache that cannot be continued; the plain pass stays
        return False
    return bool(relative_difference(logits, plain) <= float(torch.finfo(plain.dtype).eps) ** 0.5)
