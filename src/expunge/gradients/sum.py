"""The plain rule: add the two gradients."""

from __future__ import annotations

from expunge.gradients.base import GradientRule, Gradients, Pair, Strength


class Sum(GradientRule, name="sum"):
    """Add both gradients, as if the two losses were one.

    w_f g_f + w_r g_r
    """

    source = "arXiv 2401.06121 (gradient difference)"
    separate = False

    def directions(self, g_f: Gradients, g_r: Gradients, alpha: Strength | None, scaling: Gradients | None) -> Pair:
        return g_f, g_r
