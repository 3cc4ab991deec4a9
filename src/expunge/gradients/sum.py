"""The plain rule: add the two gradients."""

from __future__ import annotations

from expunge.gradients.base import GradientRule, Gradients, Strength, weighted_sum


class Sum(GradientRule, name="sum"):
    """Add both gradients, as if the two losses were one.

    w_f g_f + w_r g_r
    """

    source = "arXiv 2401.06121 (gradient difference)"
    separate = False

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
        return weighted_sum(g_f, g_r, weight_f, weight_r)
