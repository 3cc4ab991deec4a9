"""Token saliency: which tokens of an answer carry what must go, rather than what every answer has.

A token counts if the forget loss has a larger gradient at its embedding than the retain loss. An average of 0
means "never measured": a token that retain has not shown is compared with a floor, one that forget has not shown
gets weight 1 (the end token, for one, is predicted but never embedded).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

Side = Literal["forget", "retain"]


def update(ema: Tensor, ids: Tensor, norms: Tensor, decay: float = 0.9) -> Tensor:
    """The running averages after one more step.

    Args:
        ema: Averages per vocabulary id, [V].
        ids: Token ids (int64) without prompt and padding.
        norms: |gradient at the embedding| of each, of the same shape. Several occurrences of an id count as their
            mean; the first measurement of an id is taken as it is.
        decay: Weight of the old average.

    Returns:
        [V]; ids that do not occur keep their average.
    """
    flat = ids.reshape(-1)
    total = torch.zeros_like(ema).index_add_(0, flat, norms.reshape(-1).to(ema.dtype))
    count = torch.zeros_like(ema).index_add_(0, flat, torch.ones_like(flat, dtype=ema.dtype))
    now = total / count.clamp(min=1)
    return torch.where(count == 0, ema, torch.where(ema == 0, now, decay * ema + (1 - decay) * now))


def importance(ema_f: Tensor, ema_r: Tensor, floor: float = 0.1, low: float = 0.1, high: float = 4.0) -> Tensor:
    """Forget over retain saliency per vocabulary id, in [low, high], [V].

    The denominator is at least `floor` times its mean over measured ids, which bounds the ratio of ids that retain
    never showed. Ids that forget never showed, and all ids before the first retain step, get 1.
    """
    measured = ema_r > 0
    least = floor * ema_r.sum() / measured.sum().clamp(min=1)
    ratio = (ema_f / torch.maximum(ema_r, least)).clamp(low, high)
    return torch.where((ema_f > 0) & measured.any(), ratio, 1.0)


def plain_ratio(ema_f: Tensor, ema_r: Tensor, epsilon: float = 1e-5) -> Tensor:
    """The ratio as printed in the paper, without floor or limits, [V]."""
    return ema_f / (ema_r + epsilon)


def sequence_weights(
    importance: Tensor, labels: Tensor, mask: Tensor, beta: float | Tensor = 1.0, normalize: bool = True
) -> Tensor:
    """Token weights [B, A]: mean 1 over the masked tokens of a sequence, then times `beta`; 0 elsewhere.

    `beta` (one number, or one per token [B, A]) comes last: normalizing after it would cancel it.
    """
    raw = importance[labels] * mask
    mean = raw.sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1) if normalize else 1.0
    return torch.where(mask, beta * raw / mean, 0.0)


@dataclass
class TokenSaliency:
    """Running saliency of both sides; `state`, a dict of two [V] tensors, goes into checkpoints."""

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
        """Add one step's embedding gradients of one side; see `update`."""
        self.state[side] = update(self.state[side].to(norms.device), ids, norms, self.decay)

    def weights(self, labels: Tensor, mask: Tensor, beta: float | Tensor = 1.0) -> Tensor:
        """Weights of a forget batch, [B, A]; see `sequence_weights`."""
        forget, retain = (self.state[side].to(labels.device) for side in ("forget", "retain"))
        if self.raw:
            measured = (forget > 0) & (retain > 0).any()  # before the first step there is nothing to divide
            return sequence_weights(torch.where(measured, plain_ratio(forget, retain), 1.0), labels, mask, beta, False)
        ratio = importance(forget, retain, self.floor, self.low, self.high)
        return sequence_weights(ratio, labels, mask, beta)
