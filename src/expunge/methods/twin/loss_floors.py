"""Floors under a subject's true answers during a run.

They are drawn from what other people's answers cost, but what a run makes of them differs from subject to subject, and
a subject whose answers are avoided stands out. So all floors of a subject sink while the mean loss of its true answers
is above the mean of the drawn floors, and rise again below it. Only rows of the run itself count. A loss starts as 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

MIN_FACTOR = 0.25  # on a subject's floors; the most is 1
GAIN = 0.1  # of the factor, per step and relative error of the mean


class LossFloors:
    """Floors of all rows [N] with a factor per subject; a row with floor 0 has none and does not count."""

    def __init__(self, drawn: Tensor, subject: Tensor, least: float) -> None:
        """drawn: [N], nats per token. subject: [N] int64, whose row it is. least: no floor sinks under it."""
        self._drawn, self._subject, self._least, self._gold = drawn, subject, least, drawn > 0
        self._mean = self._mean_of(drawn)
        self.factor = torch.ones_like(self._mean)
        self.losses = torch.zeros_like(drawn)  # most recent, nats per token
        self._recorded = torch.zeros(2, len(drawn), device=drawn.device)  # sum and count of this step's losses

    def _mean_of(self, values: Tensor) -> Tensor:
        """Per subject, over its rows with a floor."""
        empty = torch.zeros(int(self._subject.max()) + 1, device=values.device)
        count = empty.index_add(0, self._subject, self._gold.to(values.dtype))
        return empty.index_add(0, self._subject, values * self._gold) / count.clamp(min=1)

    @property
    def current(self) -> Tensor:
        """The floors as they stand, [N]."""
        return torch.maximum(self._drawn * self.factor[self._subject], self._drawn.clamp(max=self._least))

    def record(self, rows: Sequence[int], nll: Tensor) -> None:
        """Take note of the loss per token [B] of `rows` in this step."""
        self._recorded[0, rows] += nll
        self._recorded[1, rows] += 1

    def step(self, all_reduce: Callable[[Tensor], Tensor] = lambda tensor: tensor) -> None:
        """End of a step: move every subject's factor. `all_reduce` sums over all processes."""
        total, count = all_reduce(self._recorded)
        self.losses = torch.where(count > 0, total / count.clamp(min=1), self.losses)
        self._recorded = torch.zeros_like(self._recorded)
        error = 1 - self._mean_of(self.losses) / self._mean.clamp(min=1e-6)
        self.factor = (self.factor + GAIN * error).clamp(MIN_FACTOR, 1.0)

    def state(self) -> dict[str, Any]:
        return {"factor": self.factor, "losses": self.losses}

    def restore(self, state: dict[str, Any]) -> None:
        self.factor, self.losses = (state[k].to(self._drawn.device) for k in ("factor", "losses"))
