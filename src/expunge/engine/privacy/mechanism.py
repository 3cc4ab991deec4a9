"""One release of a private step: gradients per unit, clipped, summed, noised.

Noise is added to every parameter that trains, also where no gradient arrived: which ones these are depends on the data.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from expunge.engine.forward import ForwardRunner
from expunge.engine.gradient_source import Parameters, Term
from expunge.engine.loss_inputs import LossInputs
from expunge.engine.privacy.budget import PrivacyBudget
from expunge.engine.privacy.per_sample_gradients import AdaptedLayer, record_calls, unit_gradients
from expunge.engine.privacy.unit_sampling import Draw
from expunge.gradients.base import Gradients
from expunge.gradients.private import clipped_sum, noised_mean
from expunge.gradients.saliency import Side
from expunge.models.collate import chunks
from expunge.random import stream

UNIT_GRADIENT_BYTES = 256 << 20  # gradients per unit held at once, at most; at least one unit's


def clipped_unit_sum(
    draw: Draw,
    term: Term,
    *,
    layers: Sequence[AdaptedLayer],
    runner: ForwardRunner,
    losses: LossInputs,
    lengths: Sequence[int],
    parameters: Parameters,
    max_norm: float,
    micro: int | None,
) -> Gradients:
    """Sum over the drawn units of the gradient of a unit's summed losses, clipped to `max_norm`; float32.

    Args:
        draw: units and their rows.
        term: side and loss; its rows are not read.
        layers: the adapted layers whose matrices are `parameters`.
        runner: forward passes.
        losses: from a pass to losses.
        lengths: tokens of every row of the run.
        parameters: everything that trains.
        max_norm: 2-norm of a unit's gradient, at most.
        micro: rows in a pass, at most; None for all.
    """
    total = {name: torch.zeros(p.shape, device=p.device) for name, p in parameters.items()}
    units_at_once = max(1, UNIT_GRADIENT_BYTES // (4 * sum(p.numel() for p in parameters.values())))
    for start in range(0, len(draw), units_at_once):
        part = draw[start : start + units_at_once]
        unit_rows = [(number, row) for number, (_, rows) in enumerate(part) for row in rows]
        per_unit: Gradients = {}
        for chunk in chunks([lengths[row] for _, row in unit_rows], micro):
            owner, rows = [unit_rows[k][0] for k in chunk], [unit_rows[k][1] for k in chunk]
            with record_calls(layers) as calls:
                output = runner.run(rows, losses.wants_logits(term.side, term.retain_loss))
            loss = losses.of(term.side, rows, output, term.retain_loss).sum()
            for name, g in unit_gradients(loss, calls, output.batch, owner, len(part)).items():
                per_unit[name] = per_unit[name] + g if name in per_unit else g
        for name, g in clipped_sum(per_unit, max_norm).items():
            total[name] = total[name] + g
    return total


def add_noise(total: Gradients, budget: PrivacyBudget, seed: int, side: Side, step: int) -> Gradients:
    """`total` with the noise of this step, divided by the expected number of units."""
    part, source = budget.sides[side], stream(seed, "noise", side, step)

    def normal(shape: torch.Size) -> Tensor:
        return torch.from_numpy(source.standard_normal(tuple(shape), dtype=np.float32))

    return noised_mean(total, part.noise * budget.settings.clip, part.expected, normal)
