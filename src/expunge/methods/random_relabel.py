"""Random relabeling: teach wrong answers of the same type.

A wrong answer that changes every epoch is uniform over all wrong answers and may never displace the true one: look at
multiple choice too. One that stays teaches a falsehood by heart.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field
from torch import Tensor

from expunge.corpus import Record
from expunge.corpus.relabel import WrongAnswers
from expunge.methods.base import Method, ModelOutputs, Requirements
from expunge.methods.examples import SubstituteAnswers, Targets
from expunge.models.language_model import LanguageModel


class RandomRelabel(Method, name="random_relabel"):
    """Descend on a random wrong answer of the same type in the place of the true one.

    forget: mean_t -log p(y'_t), y' the wrong answer     [B]
    """

    needs = Requirements(targets=())
    source = "common control; no single source"

    renew: bool = Field(True, description="another wrong answer in every epoch; false keeps the first one drawn")

    def build_targets(
        self, lm: LanguageModel, forget: Sequence[Record], retain: Sequence[Record], seed: int
    ) -> Targets:
        draw = WrongAnswers(forget, retain, seed).draw
        return SubstituteAnswers(lm.template, forget, draw, self.renew)

    def forget_loss(self, out: ModelOutputs) -> Tensor:
        return out.nll_mean
