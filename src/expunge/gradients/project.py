"""Projection: take out of the forget gradient the part that lies along the retain gradient.

Surprising: projecting number by number would only rescale (g_f becomes (1 - alpha) g_f), so the smallest unit
here is a row.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from expunge.gradients.base import Gradients, Rule, weighted_sum, wide

Granularity = Literal["tensor", "row", "global"]
When = Literal["always", "conflict"]


class Project(Rule, name="project"):
    """Remove the share alpha of the forget gradient that lies along the retain gradient, then add both.

    w_f (g_f - alpha <g_f, g_r> / |g_r|^2 g_r) + w_r g_r, per tensor, per row, or over all parameters at once
    """

    source = "arXiv 2511.19498, eq. 12, on raw gradients"

    alpha: float = Field(1.0, ge=0, description="share of the parallel part that is removed")
    granularity: Granularity = Field(
        "tensor", description="what counts as one vector: a tensor, a row of it, or all parameters together")
    when: When = Field("always", description="project always, or only where <g_f, g_r> is negative")
    threshold: float = Field(1e-12, gt=0, description="smallest |g_r| to project against; below it g_f stays")

    def combine(self, g_f: Gradients, g_r: Gradients, *, weight_f: float = 1.0, weight_r: float = 1.0,
                alpha: float | None = None) -> Gradients:
        kept = take_out(g_f, g_r, self.alpha if alpha is None else alpha, self.granularity, self.when,
                        self.threshold)
        return weighted_sum(kept, g_r, weight_f, weight_r)


def take_out(g: Gradients, along: Gradients, alpha: float = 1.0, granularity: Granularity = "tensor",
             when: When = "always", threshold: float = 1e-12) -> Gradients:
    """g - alpha <g, along> / |along|^2 along, over the union of names; missing counts as zero.

    Dot products run in float32 at least, over all parameters in float64. With granularity `row` the rows of a
    tensor are the slices of its first dimension; a vector is one row.
    """
    def share(dot: Tensor, square: Tensor) -> Tensor:
        counts = square.sqrt() > threshold
        if when == "conflict":
            counts = counts & (dot < 0)
        return torch.where(counts, alpha * dot / square, 0.0)

    full = g | {name: torch.zeros_like(b) for name, b in along.items() if name not in g}
    if granularity == "global" and along:
        pairs = [(full[name].double(), b.double()) for name, b in along.items()]
        common = share(_total([(a * b).sum() for a, b in pairs]), _total([(b * b).sum() for _, b in pairs]))

    def without(a: Tensor, b: Tensor) -> Tensor:
        if granularity == "global":
            return a - common.to(a.device, a.dtype) * b
        inner = tuple(range(1 if granularity == "row" and a.dim() > 1 else 0, a.dim()))
        return a - share((a * b).sum(inner, keepdim=True), (b * b).sum(inner, keepdim=True)) * b

    return {name: without(wide(a), wide(along[name])).to(a.dtype) if name in along else a
            for name, a in full.items()}


def _total(parts: list[Tensor]) -> Tensor:
    """The sum of scalars that may lie on several devices."""
    return torch.stack([part.to(parts[0].device) for part in parts]).sum()
