"""Gradients: pure functions over `{parameter name: tensor}`: combine, clip, weigh tokens."""

from expunge.gradients.base import RULES, GradientRule, Gradients, clip_total_norm
from expunge.gradients.saliency import TokenSaliency

__all__ = ["RULES", "GradientRule", "Gradients", "TokenSaliency", "clip_total_norm"]
