"""KL minimization: ascent on forget, while retain answers keep the reference's distribution.

Note: the divergence is over answer positions; code that also averages it over prompt and padding gets other numbers.
"""

from __future__ import annotations

from expunge.methods.ga import GA


class KLMin(GA, name="kl_min"):
    """Gradient ascent on the forget answers, joined by the divergence from the reference on retain answers.

    forget: -mean_t min(-log p(y_t), clip)     [B]     retain: mean_t KL(p_ref || p)
    """

    source = "arXiv 2401.06121"
    retain = "kl"
