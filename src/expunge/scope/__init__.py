"""Scope: from a request ("patient:P-0012") to what must go, what must stay, and what is asked afterwards."""

from expunge.scope.expression import Scope
from expunge.scope.split import Split

__all__ = ["Scope", "Split"]
