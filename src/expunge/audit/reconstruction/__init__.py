"""Reconstruction attack: does a forgotten fact come back when its place in the provenance tree is stated?

    background -> prompts -> attack (one model) -> compare (all models)

The protocol is our own. MedForget names such an attack in its abstract; its protocol is unpublished.
"""

from expunge.audit.reconstruction.compare import Comparison, compare, worst_excess
from expunge.audit.reconstruction.protocol import MAX_FACTS, Setup, TooFew, prepare, reconstruct
from expunge.audit.reconstruction.result import Reconstruction

__all__ = [
    "MAX_FACTS",
    "Comparison",
    "Reconstruction",
    "Setup",
    "TooFew",
    "compare",
    "prepare",
    "reconstruct",
    "worst_excess",
]
