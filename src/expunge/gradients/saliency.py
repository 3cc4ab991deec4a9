"""Token saliency: which tokens of an answer carry what must go, rather than what every answer has.

A token counts if the forget loss has a larger gradient at its embedding than the retain loss. The forget loss is the
one without token weights: weights made of the weighted loss would feed on themselves. An average of 0 means "never
measured": a token that retain has not shown is compared with a floor, and one that forget has not shown weighs as much
as the others of its answer on average (the end token, for one, is predicted but never embedded).
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


def importance(
    ema_f: Tensor,
    ema_r: Tensor,
    floor: float = 0.1,
    low: float = 0.1,
    high: float = 4.0,
    norms: Tensor | None = None,
    ids: Tensor | None = None,
) -> Tensor:
    """Forget over retain saliency, each over its own mean, in [low, high], of every vocabulary id or of single tokens.

    The two losses may differ in scale (`npo` sums over tokens, the retain loss is a mean), so the ratio is relative: 1
    is the ratio of the means over measured ids, and the limits hold whatever the losses are. The denominator is at
    least `floor` times its mean, which bounds the ratio of ids that retain never showed. What forget never showed, and
    everything before the first retain step, gets 0: not known.

    Args:
        ema_f: Averages of the forget side, [V].
        ema_r: Averages of the retain side, [V].
        floor: Smallest denominator, as a share of the mean one.
        low: Smallest ratio.
        high: Largest ratio.
        norms: Gradient norms of single tokens in the place of `ema_f`, of any shape.
        ids: Their ids.
    """
    mean_f, mean_r = _mean_of_measured(ema_f), _mean_of_measured(ema_r)
    forget, retain = (ema_f, ema_r) if norms is None or ids is None else (norms, ema_r[ids])
    ratio = (forget / torch.maximum(retain, floor * mean_r) * (mean_r / mean_f)).clamp(low, high)
    return torch.where((forget > 0) & (mean_r > 0) & (mean_f > 0), ratio, 0.0)


def _mean_of_measured(ema: Tensor) -> Tensor:
    return ema.sum() / (ema > 0).sum().clamp(min=1)


def plain_ratio(
    ema_f: Tensor, ema_r: Tensor, epsilon: float = 1e-5, norms: Tensor | None = None, ids: Tensor | None = None
) -> Tensor:
    """The ratio as printed in the paper, without means and limits, 1 where it is not known; arguments as above."""
    forget, retain = (ema_f, ema_r) if norms is None or ids is None else (norms, ema_r[ids])
    return torch.where((forget > 0) & (ema_r > 0).any(), forget / (retain + epsilon), 1.0)


def sequence_weights(ratios: Tensor, mask: Tensor, beta: float | Tensor = 1.0, normalize: bool = True) -> Tensor:
    """Token weights [B, A]: mean 1 over the masked tokens of a sequence, then times `beta`; 0 elsewhere.

    `ratios` [B, A] are those of `importance`; one that is not known (0) is the mean of those known in its sequence, so
    that it neither gains nor loses by them. `beta` (one number, or one per token [B, A]) comes last: normalizing after
    it would cancel it.
    """
    raw = ratios * mask
    known = raw > 0
    usual = raw.sum(-1, keepdim=True) / known.sum(-1, keepdim=True).clamp(min=1)
    raw = torch.where(known, raw, torch.where(usual > 0, usual, 1.0)) * mask
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
    by_occurrence: bool = False  # the forget side is measured at each token of a batch, not averaged by id
    state: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.state = self.state or {side: torch.zeros(self.vocabulary) for side in ("forget", "retain")}

    def observe(self, side: Side, ids: Tensor, norms: Tensor) -> None:
        """Add one step's embedding gradients of one side; see `update`."""
        self.state[side] = update(self.state[side].to(norms.device), ids, norms, self.decay)

    def weights(self, labels: Tensor, mask: Tensor, beta: float | Tensor = 1.0, norms: Tensor | None = None) -> Tensor:
        """Weights of a forget batch, [B, A]; see `sequence_weights`.

        Args:
            labels: Answer token ids, [B, A].
            mask: False where an answer is padded.
            beta: One number, or one per token.
            norms: Gradient norms of these very tokens, [B, A], 0 where not measured. With `by_occurrence` they take
                the place of the running averages of the forget side; None keeps these.
        """
        forget, retain = (self.state[side].to(labels.device) for side in ("forget", "retain"))
        own = norms if self.by_occurrence else None
        if self.raw:
            ratios = plain_ratio(forget, retain, norms=own, ids=labels)
        else:
            ratios = importance(forget, retain, self.floor, self.low, self.high, own, labels)
        return sequence_weights(ratios[labels] if own is None else ratios, mask, beta, normalize=not self.raw)
