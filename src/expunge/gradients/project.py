"""Projection: remove the part of one gradient that lies along the other.

`granularity: scalar` is the formula as the paper prints it. It projects number by number and so only rescales:
g_f becomes (1 - alpha) g_f. An optimizer that scales every parameter by itself, as Adam does, turns vectors that
were orthogonal; `metric: adam` measures angles after that scaling.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from expunge.gradients.base import GradientRule, Gradients, Pair, Strength, upcast

Granularity = Literal["scalar", "tensor", "row", "global"]
When = Literal["always", "conflict"]
EPSILON = 1e-5  # in the denominator of the formula as printed


class Project(GradientRule, name="project"):
    """Remove the share alpha of the forget gradient's part along the retain gradient, then add both.

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
    threshold: float = Field(1e-12, gt=0, description="smallest |g_r| to project against; below it g_f is unchanged")

    @property
    def preconditions(self) -> bool:
        return self.metric == "adam"

    def directions(self, g_f: Gradients, g_r: Gradients, alpha: Strength | None, scaling: Gradients | None) -> Pair:
        if self.unit:
            g_f, g_r = normalize(g_f), normalize(g_r)
        strength = self.alpha if alpha is None else alpha
        metric = scaling if self.metric == "adam" else None
        return remove_component(g_f, g_r, strength, self.granularity, self.when, self.threshold, metric), g_r


class PCGrad(GradientRule, name="pcgrad"):
    """Project each gradient on the normal plane of the other's original if they conflict, then add both.

    w_f (g_f - d/|g_r|^2 g_r) + w_r (g_r - d/|g_f|^2 g_f), d = min(<g_f, g_r>, 0) over all parameters
    """

    source = "arXiv 2001.06782"

    def directions(self, g_f: Gradients, g_r: Gradients, alpha: Strength | None, scaling: Gradients | None) -> Pair:
        return _without_conflict(g_f, g_r), _without_conflict(g_r, g_f)


class AGEM(GradientRule, name="agem"):
    """Averaged gradient episodic memory: follow the forget gradient without its part against retain.

    w_f (g_f - d/|g_r|^2 g_r), d = min(<g_f, g_r>, 0) over all parameters; the retain loss is not descended
    """

    source = "arXiv 1812.00420"

    def directions(self, g_f: Gradients, g_r: Gradients, alpha: Strength | None, scaling: Gradients | None) -> Pair:
        return _without_conflict(g_f, g_r), {}


def _without_conflict(g: Gradients, other: Gradients) -> Gradients:
    return remove_component(g, other, granularity="global", when="conflict")


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

    Args:
        g: The gradient to change.
        along: The gradient whose direction is removed.
        alpha: One strength, or one for every name (granularity `global`: the same for all).
        granularity: What counts as one vector. The rows of a tensor are the slices of its first dimension; a vector
            is one row. `scalar` divides by g_r² + 1e-5, as printed.
        when: always, or only where <g, P along> is negative.
        threshold: Smallest |along| to project against.
        scaling: P, positive, one number per entry; None for 1.

    Dot products run in float32 at least, over all parameters in float64.
    """

    def share(dot: Tensor, square: Tensor, strength: float) -> Tensor:
        applies = square.sqrt() > threshold
        if when == "conflict":
            applies = applies & (dot < 0)
        return torch.where(applies, strength * dot / (square + (EPSILON if granularity == "scalar" else 0.0)), 0.0)

    def strength(name: str) -> float:
        return alpha[name] if isinstance(alpha, Mapping) else alpha

    full = g | {name: torch.zeros_like(b) for name, b in along.items() if name not in g}
    scaled = {
        name: upcast(b) * upcast(scaling[name]) if scaling and name in scaling else upcast(b)
        for name, b in along.items()
    }
    if granularity == "global" and along:
        dots = _total([(full[name].double() * m.double()).sum() for name, m in scaled.items()])
        squares = _total([(along[name].double() * m.double()).sum() for name, m in scaled.items()])
        common = share(dots, squares, strength(next(iter(along))))

    def without(name: str, a: Tensor, b: Tensor) -> Tensor:
        if granularity == "global":
            return a - common.to(a.device, a.dtype) * b
        dot, square = a * scaled[name], b * scaled[name]
        if granularity != "scalar":
            inner = tuple(range(1 if granularity == "row" and a.dim() > 1 else 0, a.dim()))
            dot, square = dot.sum(inner, keepdim=True), square.sum(inner, keepdim=True)
        return a - share(dot, square, strength(name)) * b

    return {
        name: without(name, upcast(a), upcast(along[name])).to(a.dtype) if name in along else a
        for name, a in full.items()
    }


def normalize(grads: Gradients) -> Gradients:
    """Every tensor divided by its 2-norm; a tensor of zeros is unchanged."""
    norms = {name: torch.linalg.vector_norm(upcast(g)) for name, g in grads.items()}
    return {name: g / norms[name].clamp(min=1e-30).to(g.dtype) for name, g in grads.items()}


def _total(parts: list[Tensor]) -> Tensor:
    """The sum of scalars that may lie on several devices."""
    return torch.stack([part.to(parts[0].device) for part in parts]).sum()
