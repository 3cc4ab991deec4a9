"""Gradient surgery: when the two gradients conflict, each gives up its part against the other."""

from __future__ import annotations

from expunge.gradients.base import GradientRule, Gradients, Strength, weighted_sum
from expunge.gradients.project import remove_component


class PCGrad(GradientRule, name="pcgrad"):
    """Project each gradient on the normal plane of the other's original if they conflict, then add both.

    w_f (g_f - d/|g_r|^2 g_r) + w_r (g_r - d/|g_f|^2 g_f), d = min(<g_f, g_r>, 0) over all parameters
    """

    source = "arXiv 2001.06782"

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
        forget = remove_component(g_f, g_r, granularity="global", when="conflict")
        retain = remove_component(g_r, g_f, granularity="global", when="conflict")
        return weighted_sum(forget, retain, weight_f, weight_r)
