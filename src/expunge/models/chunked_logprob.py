"""Log-probabilities of answer tokens from final hidden states, without ever holding the logits of all of them.

[n, V] is computed in slices of rows, once forward and once more backward; at V = 128,000 that is the largest tensor
of a step. It needs a head that is a matrix product and nothing more: `plain_head` tests that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from expunge.models.collate import Batch
from expunge.models.vision.feature_cache import cached_image_features

CHUNK = 256  # rows of logits at a time


class _AnswerLogprob(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, chunk: int) -> Tensor:
        norm = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        taken = torch.empty_like(norm)
        for part in _slices(len(hidden), chunk):
            logits = nn.functional.linear(hidden[part], weight, bias).float()
            taken[part] = logits.gather(-1, labels[part, None]).squeeze(-1)
            norm[part] = logits.logsumexp(-1)
        ctx.save_for_backward(hidden, weight, bias, labels, norm)
        ctx.chunk = chunk
        return taken - norm

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, labels, norm = ctx.saved_tensors
        for_hidden, for_weight, for_bias = ctx.needs_input_grad[:3]
        d_hidden = torch.empty_like(hidden) if for_hidden else None
        d_weight = torch.zeros_like(weight, dtype=torch.float32) if for_weight else None
        d_bias = torch.zeros_like(bias, dtype=torch.float32) if for_bias else None
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

    hidden [n, H], head_weight [V, H], bias [V] or None, labels [n] int64; `chunk` rows of logits at a time. The
    log-sum-exp is taken in float32 whatever the dtype of the model.
    """
    return cast(Tensor, _AnswerLogprob.apply(hidden, head_weight, bias, labels, chunk))  # type: ignore[no-untyped-call]


def answer_hidden(module: nn.Module, batch: Batch) -> Tensor:
    """What enters the head where answer tokens are predicted, [B, A, H]; no logits are computed.

    Only for a model with a `plain_head`.
    """
    found: list[Tensor] = []

    def take(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden = args[0].gather(1, batch.index.unsqueeze(-1).expand(-1, -1, args[0].shape[-1]))
        found.append(hidden)
        return (hidden[:1, :1].detach(),)  # the head still runs, on one position

    handle = _head(module).register_forward_pre_hook(take)
    try:
        with cached_image_features(module, batch.images):
            module(**batch.inputs, use_cache=False)
    finally:
        handle.remove()
    return found[0]


def _head(module: Any) -> nn.Module:
    return cast(nn.Module, module.get_output_embeddings())


@torch.no_grad()
def plain_head(module: nn.Module) -> bool:
    """Are the logits of `module` exactly head(final hidden state): no soft cap, no scaling, no adapter on the head?

    Random states that give logits of up to 100 are put into the head of a pass over four tokens. `module` answers
    as it stands, so ask again if the head changes.
    """
    head = _head(module)
    if not isinstance(head, nn.Linear) or not head.weight.is_floating_point():
        return False
    weight = head.weight
    source = torch.Generator().manual_seed(0)
    states = torch.randn((1, 4, weight.shape[-1]), generator=source).to(weight.device, weight.dtype)
    wanted = nn.functional.linear(states, weight, head.bias)
    states = states * (100 / wanted.abs().max().clamp(min=1e-6))
    wanted = nn.functional.linear(states, weight, head.bias).float()
    ids = torch.zeros((1, 4), dtype=torch.int64, device=next(module.parameters()).device)
    handle = head.register_forward_pre_hook(lambda _, args: (states, *args[1:]))
    try:
        found = module(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
    finally:
        handle.remove()
    eps = torch.finfo(weight.dtype).eps
    return bool(found.shape == wanted.shape and (found.float() - wanted).abs().max() <= 100 * 8 * eps)
