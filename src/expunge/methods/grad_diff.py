"""Gradient difference: ascent on forget, descent on retain."""

from __future__ import annotations

from expunge.methods.ga import GA


class GradDiff(GA, name="grad_diff"):
    """Gradient ascent on the forget answers, joined by the cross-entropy of retain answers, 1:1.

    forget: -mean_t min(-log p(y_t), clip)     [B]     retain: mean_t -log p(y_t)
    """

    source = "arXiv 2401.06121"
    retain = "ce"
