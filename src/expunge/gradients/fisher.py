"""Diagonal Fisher information: which parameters matter more for one set of records than for another.

It is the mean of squared gradients of single examples, not the squared gradient of a batch: two examples with
gradients +1 and -1 give 1 here, and 0 there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from expunge.gradients.base import Gradients, upcast


def mean_of_squares(examples: Iterable[Gradients]) -> Gradients:
    """Mean over examples of every squared entry, float32; a name missing in an example counts as zero there."""
    total: Gradients = {}
    count = 0
    for grads in examples:
        count += 1
        for name, g in grads.items():
            total[name] = total[name] + upcast(g) ** 2 if name in total else upcast(g) ** 2
    return {name: t / count for name, t in total.items()}


def top_share(forget: Gradients, retain: Gradients, share: float, epsilon: float = 1e-8) -> dict[str, Tensor]:
    """True where F_f / (F_r + epsilon) is among the largest `share` of all entries, ties with the last included."""
    ratios = {name: f / (retain.get(name, torch.zeros_like(f)) + epsilon) for name, f in forget.items()}
    flat = torch.cat([r.flatten() for r in ratios.values()])
    least = flat.topk(max(1, round(share * flat.numel()))).values[-1]
    return {name: r >= least for name, r in ratios.items()}


def mask_gradients(grads: Gradients, masks: Mapping[str, Tensor]) -> Gradients:
    """`grads` with zeros where the mask of a tensor is False; a name without a mask is left out."""
    return {name: g * masks[name] for name, g in grads.items() if name in masks}


def levels_of(fisher: Mapping[str, Gradients]) -> dict[str, str]:
    """Tensor name → the concept level with the largest Fisher share in it.

    Args:
        fisher: One Fisher diagonal per level. Each is divided by its total first, so that a level with large
            gradients does not take every tensor. Ties go to the first level, tensors without any share to the last.
    """
    last = list(fisher)[-1]
    shares = {level: _shares(values) for level, values in fisher.items()}
    levels = {}
    for name in sorted(set().union(*fisher.values())):
        best = max(fisher, key=lambda level: shares[level].get(name, 0.0))
        levels[name] = best if shares[best].get(name, 0.0) > 0 else last
    return levels


def _shares(values: Gradients) -> dict[str, float]:
    sums = {name: float(v.double().sum()) for name, v in values.items()}
    total = sum(sums.values())
    return {name: s / total if total else 0.0 for name, s in sums.items()}
