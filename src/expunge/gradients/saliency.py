"""Token saliency: which words of an answer carry what must go, rather than what everybody says.

A word matters if the forget loss leans on its embedding more than the retain loss does. Surprising: an
average of 0 means "never measured". Such a word is judged by the floor if retain has not shown it, and is
neutral if forget has not (the end token, for one, is predicted but never embedded).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

Side = Literal["forget", "retain"]


def update(ema: Tensor, ids: Tensor, norms: Tensor, decay: float = 0.9) -> Tensor:
    """The running averages after one more step, `[V]`; ids that do not occur keep theirs.

    ids, norms   token ids (int64) and |gradient at their embedding|, equal shapes, no prompt, no padding;
                 several occurrences of an id count as their mean, and its first measurement is taken whole
    """
    flat = ids.reshape(-1)
    total = torch.zeros_like(ema).index_add_(0, flat, norms.reshape(-1).to(ema.dtype))
    count = torch.zeros_like(ema).index_add_(0, flat, torch.ones_like(flat, dtype=ema.dtype))
    now = total / count.clamp(min=1)
    return torch.where(count == 0, ema, torch.where(ema == 0, now, decay * ema + (1 - decay) * now))


def importance(ema_f: Tensor, ema_r: Tensor, floor: float = 0.1, low: float = 0.1, high: float = 4.0) -> Tensor:
    """Forget over retain saliency per vocabulary id, in [low, high], `[V]`.

    The denominator is at least `floor` times its mean over measured ids: without it an id that retain never
    showed would get |g_f| / 0. Ids that forget never showed, and all ids before the first retain step, get 1.
    """
    measured = ema_r > 0
    least = floor * ema_r.sum() / measured.sum().clamp(min=1)
    ratio = (ema_f / torch.maximum(ema_r, least)).clamp(low, high)
    return torch.where((ema_f > 0) & measured.any(), ratio, 1.0)


def plain_ratio(ema_f: Tensor, ema_r: Tensor, epsilon: float = 1e-5) -> Tensor:
    """The ratio as printed, without floor or limits, `[V]`: what retain never showed gets |g_f| / epsilon."""
    return ema_f / (ema_r + epsilon)


def sequence_weights(
    importance: Tensor, labels: Tensor, mask: Tensor, beta: float | Tensor = 1.0, normalize: bool = True
) -> Tensor:
    """Token weights `[B, A]`: mean 1 over the counted tokens of a sequence, then times `beta`; 0 elsewhere.

    beta (one number, or one per token `[B, A]`) comes last: normalizing after it would cancel it.
    """
    raw = importance[labels] * mask
    mean = raw.sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1) if normalize else 1.0
    return torch.where(mask, beta * raw / mean, 0.0)


@dataclass
class TokenSaliency:
    """Running saliency of both sides; `state`, a plain dict of two `[V]` tensors, goes into checkpoints."""

    vocabulary: int
    decay: float = 0.9
    floor: float = 0.1
    low: float = 0.1
    high: float = 4.0
    raw: bool = False  # the ratio as printed, and no normalization
    state: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.state = self.state or {side: torch.zeros(self.vocabulary) for side in ("forget", "retain")}

    def observe(self, side: Side, ids: Tensor, norms: Tensor) -> None:
        """Take in one step's embedding gradients of one side; see `update`."""
        ema = self.state[side].to(norms.device)
        self.state[side] = update(ema, ids, norms, self.decay)

    def weights(self, labels: Tensor, mask: Tensor, beta: float | Tensor = 1.0) -> Tensor:
        """Weights for a forget batch, `[B, A]`; see `sequence_weights`."""
        forget, retain = (self.state[side].to(labels.device) for side in ("forget", "retain"))
        if self.raw:
            seen = (forget > 0) & (retain > 0).any()  # before the first step there is nothing to divide
            return sequence_weights(torch.where(seen, plain_ratio(forget, retain), 1.0), labels, mask, beta, False)
        ratio = importance(forget, retain, self.floor, self.low, self.high)
        return sequence_weights(ratio, labels, mask, beta)
