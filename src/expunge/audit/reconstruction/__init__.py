"""Reconstruction: how much of a forgotten fact comes back when its place in the tree is told piece by piece.

    survivors → prompts → ask (one model) → compare (all models)

Our own protocol: the one of MedForget, in whose abstract such an attack is named, is unpublished.
"""

from expunge.audit.reconstruction.attack import Setup, TooFew, prepare, reconstruct
from expunge.audit.reconstruction.compare import Comparison, compare
from expunge.audit.reconstruction.result import Reconstruction

__all__ = ["Comparison", "Reconstruction", "Setup", "TooFew", "compare", "prepare", "reconstruct"]
