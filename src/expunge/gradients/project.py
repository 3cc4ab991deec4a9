"""Projection: take out of the forget gradient the part that lies along the retain gradient.

Surprising: projecting number by number (`scalar`, the paper's formula as printed) only rescales, g_f becomes
(1 - alpha) g_f; it is kept for comparison. And an optimizer that scales every parameter by itself, as Adam does,
turns what was orthogonal: `metric: adam` measures angles after that scaling.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from expunge.gradients.base import GradientRule, Gradients, Strength, upcast, weighted_sum

Granularity = Literal["scalar", "tensor", "row", "global"]
When = Literal["always", "conflict"]
EPSILON = 1e-5  # in the denominator of the formula as printed


class Project(GradientRule, name="project"):
    """Remove the share alpha of the forget gradient that lies along the retain gradient, then add both.

    w_f (g_f - alpha <g_f, P g_r> / <g_r, P g_r> g_r) + w_r g_r, per tensor, per row, or over all parameters at once;
    P = 1, or what Adam multiplies every entry by
    """

    source = "arXiv 2511.19498, eq. 12, on raw gradients unless `unit`"

    alpha: float = Field(1.0, ge=0, description="share of the parallel part that is removed")
    granularity: Granularity = Field(
        "tensor",
        description="what counts as one vector: a tensor, a row of it, all "
        "parameters together, or every number by itself (which only rescales)",
    )
    when: When = Field("always", description="project always, or only where <g_f, g_r> is negative")
    metric: Literal["plain", "adam"] = Field("plain", description="adam: orthogonal after Adam's scaling, not before")
    unit: bool = Field(False, description="scale both gradients to length 1 first, as the paper does")
    threshold: float = Field(1e-12, gt=0, description="smallest |g_r| to project against; below it g_f stays")

    @property
    def preconditions(self) -> bool:
        return self.metric == "adam"

    def combine(
        self,
        g_f: Gradients,
        g_r: Gradients,
        *,
        weight_f: float = 1.0,
        weight_r: float = 1.0,
        alpha: Strength | None = None,
        scaling: Gradients | None = None,
    ) -> Gradients:
        if self.unit:
            g_f, g_r = normalize(g_f), normalize(g_r)
        kept = remove_component(
            g_f,
            g_r,
            self.alpha if alpha is None else alpha,
            self.granularity,
            self.when,
            self.threshold,
            scaling if self.metric == "adam" else None,
        )
        return weighted_sum(kept, g_r, weight_f, weight_r)


def remove_component(
    g: Gradients,
    along: Gradients,
    alpha: Strength = 1.0,
    granularity: Granularity = "tensor",
    when: When = "always",
    threshold: float = 1e-12,
    scaling: Gradients | None = None,
) -> Gradients:
    """g - alpha <g, P along> / <along, P along> along, over the union of names; missing counts as zero.

    alpha    one strength, or one for every name (granularity `global`: the same for all)
    scaling  P, positive, one number per entry; None for 1
    Dot products run in float32 at least, over all parameters in float64. With granularity `row` the rows of a
    tensor are the slices of its first dimension; a vector is one row. `scalar` divides by g_r² + 1e-5, as printed.
    """

    def share(dot: Tensor, square: Tensor, strength: float) -> Tensor:
        counts = square.sqrt() > threshold
        if when == "conflict":
            counts = counts & (dot < 0)
        return torch.where(counts, strength * dot / (square + (EPSILON if granularity == "scalar" else 0.0)), 0.0)

    def strength(name: str) -> float:
        return alpha[name] if isinstance(alpha, Mapping) else alpha

    full = g | {name: torch.zeros_like(b) for name, b in along.items() if name not in g}
    measured = {
        name: upcast(b) * upcast(scaling[name]) if scaling and name in scaling else upcast(b)
        for name, b in along.items()
    }
    if granularity == "global" and along:
        dots = _total([(full[name].double() * m.double()).sum() for name, m in measured.items()])
        squares = _total([(along[name].double() * m.double()).sum() for name, m in measured.items()])
        common = share(dots, squares, strength(next(iter(along))))

    def without(name: str, a: Tensor, b: Tensor) -> Tensor:
        if granularity == "global":
            return a - common.to(a.device, a.dtype) * b
        dot, square = a * measured[name], b * measured[name]
        if granularity != "scalar":
            inner = tuple(range(1 if granularity == "row" and a.dim() > 1 else 0, a.dim()))
            dot, square = dot.sum(inner, keepdim=True), square.sum(inner, keepdim=True)
        return a - share(dot, square, strength(name)) * b

    return {
        name: without(name, upcast(a), upcast(along[name])).to(a.dtype) if name in along else a
        for name, a in full.items()
    }


def normalize(grads: Gradients) -> Gradients:
    """Every tensor divided by its 2-norm; a tensor of zeros stays."""
    norms = {name: torch.linalg.vector_norm(upcast(g)) for name, g in grads.items()}
    return {name: g / norms[name].clamp(min=1e-30).to(g.dtype) for name, g in grads.items()}


def _total(parts: list[Tensor]) -> Tensor:
    """The sum of scalars that may lie on several devices."""
    return torch.stack([part.to(parts[0].device) for part in parts]).sum()
