"""Diagonal Fisher information: which parameters one set of records leans on more than another.

Surprising: it is the mean of squared gradients of single examples. Squaring the gradient of a batch is something
else: two examples that pull apart, +1 and -1, give 0 there, and 1 here.
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
    """True where F_f / (F_r + epsilon) is among the largest `share` of all entries together; equals of the last too."""
    ratios = {name: f / (retain.get(name, torch.zeros_like(f)) + epsilon) for name, f in forget.items()}
    flat = torch.cat([r.flatten() for r in ratios.values()])
    kept = max(1, round(share * flat.numel()))
    least = flat.topk(kept).values[-1]
    return {name: r >= least for name, r in ratios.items()}


def mask_gradients(grads: Gradients, chosen: Mapping[str, Tensor]) -> Gradients:
    """`grads` with zeros where not chosen; a name without a choice is left out."""
    return {name: g * chosen[name] for name, g in grads.items() if name in chosen}


def levels_of(fisher: Mapping[str, Gradients]) -> dict[str, str]:
    """Tensor name → the level whose records lean on it most; `fisher` holds one Fisher diagonal per level.

    Each level's is divided by its own total first, so that a level with large gradients does not take everything.
    Of equals the first level counts, and a tensor that nobody leans on goes to the last one.
    """
    names = sorted(set().union(*fisher.values()))
    last = list(fisher)[-1]
    shares = {level: _shares(values) for level, values in fisher.items()}
    found = {}
    for name in names:
        best = max(fisher, key=lambda level: shares[level].get(name, 0.0))
        found[name] = best if shares[best].get(name, 0.0) > 0 else last
    return found


def _shares(values: Gradients) -> dict[str, float]:
    sums = {name: float(v.double().sum()) for name, v in values.items()}
    total = sum(sums.values())
    return {name: s / total if total else 0.0 for name, s in sums.items()}
