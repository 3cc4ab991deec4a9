"""Log-probabilities of answer tokens from final hidden states, without storing the logits of all of them.

The logits [n, V], at V = 128,000 the largest tensor of a step, are computed in slices of rows, in the forward and
again in the backward pass. This needs a head that is a matrix product and nothing more; `plain_head` tests that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from expunge.models.collate import Batch
from expunge.models.forward import gather_positions, hook_head_input
from expunge.models.vision.feature_cache import cached_image_features

CHUNK = 256  # rows of logits at a time


class _AnswerLogprob(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, chunk: int) -> Tensor:
        norm = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        at_label = torch.empty_like(norm)
        for part in _slices(len(hidden), chunk):
            logits = nn.functional.linear(hidden[part], weight, bias).float()
            at_label[part] = logits.gather(-1, labels[part, None]).squeeze(-1)
            norm[part] = logits.logsumexp(-1)
        ctx.save_for_backward(hidden, weight, bias, labels, norm)
        ctx.chunk = chunk
        return at_label - norm

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, labels, norm = ctx.saved_tensors
        needs_hidden, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        d_hidden = torch.empty_like(hidden) if needs_hidden else None
        d_weight = torch.zeros_like(weight, dtype=torch.float32) if needs_weight else None
        d_bias = torch.zeros_like(bias, dtype=torch.float32) if needs_bias else None
        for part in _slices(len(hidden), ctx.chunk):
            slope = nn.functional.linear(hidden[part], weight, bias).float()
            slope.sub_(norm[part, None]).exp_().mul_(-grad[part, None])
            slope.scatter_add_(-1, labels[part, None], grad[part, None])
            rounded = slope.to(weight.dtype)
            if d_hidden is not None:
                d_hidden[part] = rounded @ weight
            if d_weight is not None:
                d_weight += rounded.T @ hidden[part]
            if d_bias is not None:
                d_bias += slope.sum(0)
        return (
            d_hidden,
            None if d_weight is None else d_weight.to(weight.dtype),
            None if d_bias is None else d_bias.to(bias.dtype),
            None,
            None,
        )


def _slices(count: int, chunk: int) -> Iterator[slice]:
    return (slice(start, start + chunk) for start in range(0, count, chunk))


def answer_logprob_chunked(
    hidden: Tensor, head_weight: Tensor, bias: Tensor | None, labels: Tensor, chunk: int = CHUNK
) -> Tensor:
    """log p of each label in nats, [n] float32, with gradient for whatever requires it.

    `hidden` [n, H], `head_weight` [V, H], `bias` [V], `labels` [n] int64; `chunk` rows of logits at a time. The
    log-sum-exp is taken in float32 for every dtype.
    """
    return cast(Tensor, _AnswerLogprob.apply(hidden, head_weight, bias, labels, chunk))  # type: ignore[no-untyped-call]


def answer_hidden(module: nn.Module, batch: Batch) -> Tensor:
    """The input of the head where answer tokens are predicted, [B, A, H], for a model with a `plain_head`."""
    hidden: list[Tensor] = []

    def record(states: Tensor) -> Tensor:
        hidden.append(gather_positions(states, batch.index))
        return hidden[0][:1, :1].detach()  # the head still runs, on one position

    with hook_head_input(module, record), cached_image_features(module, batch.images):
        module(**{"use_cache": False, **batch.inputs})
    return hidden[0]


@torch.no_grad()
def plain_head(module: Any) -> bool:
    """Whether the logits are exactly head(final hidden state): no soft cap, no scaling, no adapter on the head.

    Tested with random states that give logits of up to 100 in a pass over four tokens. Test again if the head
    changes.
    """
    head = module.get_output_embeddings()
    if not isinstance(head, nn.Linear) or not head.weight.is_floating_point():
        return False
    weight = head.weight
    source = torch.Generator().manual_seed(0)
    states = torch.randn((1, 4, weight.shape[-1]), generator=source).to(weight.device, weight.dtype)
    expected = nn.functional.linear(states, weight, head.bias)
    states = states * (100 / expected.abs().max().clamp(min=1e-6))
    expected = nn.functional.linear(states, weight, head.bias).float()
    ids = torch.zeros((1, 4), dtype=torch.int64, device=next(module.parameters()).device)
    with hook_head_input(module, lambda _: states):
        logits = module(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
    tolerance = 100 * 8 * torch.finfo(weight.dtype).eps
    return bool(logits.shape == expected.shape and (logits.float() - expected).abs().max() <= tolerance)
