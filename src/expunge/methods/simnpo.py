"""SimNPO: negative preference without a reference model.

Two settings are in use, each with its weight of the forget loss (the recipe's): beta 2.5 with .1375 (the
authors on TOFU) and beta 4.5 with .125 (the open-unlearning collection; our default is its beta).
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor
from torch.nn.functional import logsigmoid

from expunge.methods.base import Method, ModelOutputs


class SimNPO(Method, name="simnpo"):
    """Raise the mean loss of the forget answers until it is large; then the gradient vanishes by itself.

    forget: -(2/beta) log sigmoid(beta (NLL_mean - delta))     [B]
    """

    source = "arXiv 2410.07163"

    beta: float = Field(4.5, gt=0, description="inverse temperature: how soon the gradient vanishes")
    delta: float = Field(0.0, description="margin in nats: the mean loss around which the gradient vanishes")

    def forget_loss(self, out: ModelOutputs) -> Tensor:
        return -(2 / self.beta) * logsigmoid(self.beta * (out.nll_mean - self.delta))
