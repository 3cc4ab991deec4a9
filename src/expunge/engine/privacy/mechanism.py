"""One question of a private step: per-unit gradients of what was drawn, clipped, added up, noised.

Surprising: noise goes on every entry that trains, also on those that nobody's gradient reached: which ones those are
would say something, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from expunge.engine.forward import ForwardRunner
from expunge.engine.loss_inputs import LossInputs
from expunge.engine.privacy.budget import PrivacyBudget
from expunge.engine.privacy.per_sample_gradients import AdaptedLayer, by_unit, watched
from expunge.engine.privacy.unit_sampling import Draw
from expunge.gradients.base import Gradients
from expunge.gradients.private import clipped_sum, noised_mean
from expunge.gradients.saliency import Side
from expunge.methods.base import RetainLoss
from expunge.models.collate import chunks
from expunge.random import stream

HELD = 256 << 20  # bytes of gradients per unit that are held at once; one unit's always


def sum_of(
    draw: Draw,
    side: Side,
    kind: RetainLoss,
    *,
    layers: Sequence[AdaptedLayer],
    passes: ForwardRunner,
    losses: LossInputs,
    lengths: Sequence[int],
    parameters: Mapping[str, nn.Parameter],
    limit: float,
    micro: int | None,
) -> Gradients:
    """The sum over drawn units of the gradient of a unit's summed losses, clipped to `limit`.

    Float32, all parameters. lengths: tokens of every row of the run; kind: of the retain loss; micro: most rows in
    one pass.
    """
    total = {name: torch.zeros(p.shape, device=p.device) for name, p in parameters.items()}
    together = max(1, HELD // (4 * sum(p.numel() for p in parameters.values())))
    for start in range(0, len(draw), together):
        part = draw[start : start + together]
        mine = [(number, k) for number, (_, rows) in enumerate(part) for k in rows]
        per_unit: Gradients = {}
        for cut in chunks([lengths[k] for _, k in mine], micro):
            owner, rows = [mine[c][0] for c in cut], [mine[c][1] for c in cut]
            with watched(layers) as calls:
                passed = passes.run(rows, losses.wants_logits(side, kind))
            loss = losses.of(side, rows, passed, kind).sum()
            for name, g in by_unit(loss, calls, passed.batch, owner, len(part)).items():
                per_unit[name] = per_unit[name] + g if name in per_unit else g
        for name, g in clipped_sum(per_unit, limit).items():
            total[name] = total[name] + g
    return total


def noised(total: Gradients, plan: PrivacyBudget, seed: int, side: Side, step: int) -> Gradients:
    """`total` with the noise of this step, over the expected number of units."""
    asked, source = plan.sides[side], stream(seed, "noise", side, step)

    def normal(shape: torch.Size) -> Tensor:
        return torch.from_numpy(source.standard_normal(tuple(shape), dtype=np.float32))

    return noised_mean(total, asked.noise * plan.settings.clip, asked.expected, normal)
