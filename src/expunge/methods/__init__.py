"""Methods: one file per unlearning method, a pure loss (or a pure edit of weights) plus its settings."""

from expunge.methods.base import METHODS, Approach, Method, Needs, Outputs, forward_kl, retain_loss
from expunge.methods.edit import Edit

__all__ = ["METHODS", "Approach", "Edit", "Method", "Needs", "Outputs", "forward_kl", "retain_loss"]
