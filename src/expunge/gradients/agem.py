"""Averaged gradient episodic memory: the retain gradient is a fence, not a direction."""

from __future__ import annotations

from expunge.gradients.base import GradientRule, Gradients, Strength, weighted_sum
from expunge.gradients.project import remove_component


class AGEM(GradientRule, name="agem"):
    """Follow the forget gradient, without its part against retain; the retain loss itself is not descended.

    w_f (g_f - d/|g_r|^2 g_r), d = min(<g_f, g_r>, 0) over all parameters; w_r is not used
    """

    source = "arXiv 1812.00420"

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
        return weighted_sum(remove_component(g_f, g_r, granularity="global", when="conflict"), {}, weight_f, 0.0)
