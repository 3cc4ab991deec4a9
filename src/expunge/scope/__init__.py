"""Scope: from a request ("patient:P-0012") to the forget, retain and held-out sets of a run."""

from expunge.scope.expression import Scope
from expunge.scope.split import Split

__all__ = ["Scope", "Split"]
