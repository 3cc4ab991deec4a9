"""The floors under a person's true answers during a `twin` run.

They are drawn from what strangers' answers cost, but what a run makes of them differs from person to person: some
end where they should, some far above, and a person whose answers are avoided stands out. So all floors of a person
sink while the mean loss of the true answers is above the mean of the floors as drawn, and rise again below it.
Only the rows of the run itself are looked at. Surprising: the losses start as 0, "memorised", not as unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from expunge.engine.rows import ForgetExample

LEAST = 0.25  # of the factor on a person's floors; the most is 1
GAIN = 0.1  # of the factor, per step and relative error of the mean


class LossFloors:
    """Floors of all rows [N] with a factor per subject; a row that is not gold has 0, which asks for nothing."""

    def __init__(self, drawn: Tensor, subject: Tensor, least: float) -> None:
        """drawn [N] nats per token; subject [N] int64, whose row it is; least: no floor sinks under it."""
        self._drawn, self._subject, self._least, self._gold = drawn, subject, least, drawn > 0
        self._mean = self._mean_of(drawn)
        self.factor = torch.ones_like(self._mean)
        self.last = torch.zeros_like(drawn)  # loss when last seen, nats per token
        self._seen = torch.zeros(2, len(drawn), device=drawn.device)  # sum and count of this step's losses

    @classmethod
    def of(cls, rows: Sequence[ForgetExample], least: float, device: torch.device) -> LossFloors:
        names = {name: k for k, name in enumerate(sorted({r.subject for r in rows}))}
        return cls(
            torch.tensor([r.floor if r.is_gold else 0.0 for r in rows], device=device),
            torch.tensor([names[r.subject] for r in rows], device=device),
            least,
        )

    def _mean_of(self, values: Tensor) -> Tensor:
        """Per subject, over its gold rows."""
        empty = torch.zeros(int(self._subject.max()) + 1, device=values.device)
        count = empty.index_add(0, self._subject, self._gold.to(values.dtype))
        return empty.index_add(0, self._subject, values * self._gold) / count.clamp(min=1)

    @property
    def now(self) -> Tensor:
        """The floors as they stand, [N]."""
        return torch.maximum(self._drawn * self.factor[self._subject], self._drawn.clamp(max=self._least))

    def see(self, rows: Sequence[int], nll: Tensor) -> None:
        """Take note of the loss per token [B] of `rows` in this step."""
        self._seen[0, rows] += nll
        self._seen[1, rows] += 1

    def advance(self, together: Callable[[Tensor], Tensor] = lambda seen: seen) -> None:
        """End of a step: move every subject's factor. `together` adds up what all processes have seen."""
        total, count = together(self._seen)
        self.last = torch.where(count > 0, total / count.clamp(min=1), self.last)
        self._seen = torch.zeros_like(self._seen)
        error = 1 - self._mean_of(self.last) / self._mean.clamp(min=1e-6)
        self.factor = (self.factor + GAIN * error).clamp(LEAST, 1.0)

    def state(self) -> dict[str, Any]:
        return {"factor": self.factor, "last": self.last}

    def restore(self, state: dict[str, Any]) -> None:
        self.factor, self.last = (state[k].to(self._drawn.device) for k in ("factor", "last"))
