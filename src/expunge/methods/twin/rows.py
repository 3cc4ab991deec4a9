"""The rows of a `twin` run with their teachers, and what of them follows the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from expunge.methods.examples import Example, Targets
from expunge.methods.twin.loss_floors import LossFloors
from expunge.models.collate import pad
from expunge.models.prompt_template import Encoded

SETTLED = 0.2  # nats per token of the refusals at which they count as learned
DELTA = 2.5  # nats per token at which a row without a teacher counts as forgotten


@dataclass(frozen=True)
class TwinRow:
    """An example with its teacher.

    question: The same question about the surrogate, with the answer of the example.
    teacher: [a, V], log-probs of the original model at the answer positions of `question`; empty, [0, V], for a row
        that has none (see `fallback.py`).
    floor: Least mean NLL of the true answer, nats per token; 0 for a row with the teacher's own answer.
    """

    example: Example
    question: Encoded
    teacher: Tensor
    floor: float = 0.0

    @property
    def has_teacher(self) -> bool:
        return len(self.teacher) > 0

    @property
    def is_gold(self) -> bool:
        return self.example.kind == "gold" and self.has_teacher


class TwinTargets(Targets):
    """Gold and own rows with their teacher; floors follow the losses of the run."""

    def __init__(self, rows: Sequence[TwinRow], least_floor: float, device: torch.device) -> None:
        super().__init__([replace(row.example, row=k) for k, row in enumerate(rows)])
        self.rows = rows
        names = {name: k for k, name in enumerate(sorted({e.subject for e in self.examples}))}
        self.floors = LossFloors(
            torch.tensor([row.floor if row.is_gold else 0.0 for row in rows], device=device),
            torch.tensor([names[e.subject] for e in self.examples], device=device),
            least_floor,
        )

    def batch_fields(self, rows: Sequence[int], width: int) -> Mapping[str, Tensor]:
        teacher = pad([self.rows[k].teacher for k in rows], width)
        return {
            "teacher": teacher,
            "floor": self.floors.current[list(rows)],
            "is_gold": torch.tensor([self.rows[k].is_gold for k in rows], device=teacher.device),
            "has_teacher": torch.tensor([self.rows[k].has_teacher for k in rows], device=teacher.device),
        }

    def settled(self) -> bool:
        """Whether the refusals, if there are any, are what the model says, and rows without a teacher are forgotten."""
        refusals = [k for k, row in enumerate(self.rows) if row.example.kind == "substitute"]
        others = [k for k, row in enumerate(self.rows) if not row.has_teacher]
        refuses = not refusals or float(self.floors.losses[refusals].mean()) < SETTLED
        return refuses and (not others or float(self.floors.losses[others].mean()) >= DELTA)

    def record_losses(self, rows: Sequence[int], nll: Tensor) -> None:
        self.floors.record(rows, nll)

    def after_step(self, all_reduce: Callable[[Tensor], Tensor]) -> None:
        self.floors.step(all_reduce)

    def state(self) -> dict[str, Any]:
        return self.floors.state()

    def restore(self, state: dict[str, Any]) -> None:
        self.floors.restore(state)
