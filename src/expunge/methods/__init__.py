"""Methods: one file per unlearning method, a pure loss (or a pure edit of weights) plus its settings."""

from expunge.methods.base import METHODS, Method, ModelOutputs, Requirements, UnlearningMethod, forward_kl, retain_loss
from expunge.methods.editing import WeightEdit

__all__ = [
    "METHODS",
    "Method",
    "ModelOutputs",
    "Requirements",
    "UnlearningMethod",
    "WeightEdit",
    "forward_kl",
    "retain_loss",
]
