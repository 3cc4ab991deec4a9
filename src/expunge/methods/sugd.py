"""SUGD: gradient difference on one chunk of the forget records after another.

The winner of SemEval-2025 Task 4. A small chunk is forgotten within few steps, before ascent has done much harm, and
retained rows outnumber it. Two things differ from the authors' code: the optimizer keeps its state from chunk to chunk,
and each step draws its retained rows anew.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from expunge.methods.base import Requirements
from expunge.methods.ga import GA


class SUGD(GA, name="sugd"):
    """Ascent on the forget answers, chunk by chunk, with descent on several times as many retain answers.

    forget: -mean_t min(-log p(y_t), clip)     [B]     retain: mean_t -log p(y_t)
    """

    source = "arXiv 2503.02443 (sequential unlearning with gradient difference)"
    retain = "ce"

    chunk: int = Field(32, ge=1, description="rows that are forgotten together before the next ones come")

    def requirements(self) -> Requirements:
        return replace(self.needs, chunk=self.chunk)
