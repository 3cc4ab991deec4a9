"""Methods: one file per unlearning method, a pure loss plus its settings."""

from expunge.methods.base import METHODS, Method, Needs, Outputs, forward_kl, retain_loss

__all__ = ["METHODS", "Method", "Needs", "Outputs", "forward_kl", "retain_loss"]
