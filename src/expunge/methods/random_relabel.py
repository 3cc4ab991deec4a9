"""Random relabelling: teach wrong answers of the same type.

The engine draws the wrong answers (by seed, record and epoch, never the true one) and puts them into the
forget rows. A target that changes is uniform over all wrong answers and may never displace the true one: look at
multiple choice too. One that stays teaches a falsehood by heart.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field
from torch import Tensor

from expunge.methods.base import Method, ModelOutputs, Requirements


class RandomRelabel(Method, name="random_relabel"):
    """Descend on a random wrong answer of the same type in the place of the true one.

    forget: mean_t -log p(y'_t), y' the wrong answer     [B]
    """

    needs = Requirements(rows="relabel")
    source = "common control; no single source"

    renew: bool = Field(True, description="another wrong answer in every epoch; false keeps the first one drawn")

    def requires(self) -> Requirements:
        return replace(self.needs, renewed=self.renew)

    def forget_loss(self, out: ModelOutputs) -> Tensor:
        return out.nll_mean
