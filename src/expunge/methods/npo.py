"""Negative preference optimization: treat the forget answer as the rejected half of a preference.

Note: some public code averages log p over the answer instead of summing it; `normalize` offers both.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor
from torch.nn.functional import logsigmoid

from expunge.methods.base import Method, ModelOutputs, Requirements


class NPO(Method, name="npo"):
    """Negative preference optimization: push the answer below what the reference model gave it, ever less so.

    forget: -(2/beta) log sigmoid(-beta (log p - log p_ref)), log p summed over answer tokens     [B]
    """

    needs = Requirements(reference_logprobs=True)
    source = "arXiv 2404.05868, eq. 3"

    beta: float = Field(0.1, gt=0, description="inverse temperature of the preference; near 0 it is ga")
    normalize: Literal["sum", "mean"] = Field(
        "sum", description="log p summed over the answer (the paper), or averaged over it"
    )
    scale: Literal["per_sequence", "per_token"] = Field(
        "per_sequence", description="per_token divides by the answer length, for balance with retain"
    )

    def forget_loss(self, out: ModelOutputs) -> Tensor:
        logratio = out.logratio if self.normalize == "sum" else out.logratio / out.length
        loss = -(2 / self.beta) * logsigmoid(-self.beta * logratio)
        return loss if self.scale == "per_sequence" else loss / out.length
