"""`twin`: distil what the model says about a subject it never met into what it says about the subject."""

from expunge.methods.twin.method import Twin

__all__ = ["Twin"]
