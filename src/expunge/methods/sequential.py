"""Sequential: first train on retain data, then forget through chosen layers only.

The recipe holds the two phases with their data, steps and layers; this file is the loss of the second. The reference is
the model before the first phase.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from expunge.methods.base import Method, ModelOutputs, Requirements
from expunge.methods.bounded_losses import BoundedLoss, bounded


class Sequential(Method, name="sequential"):
    """Negative phase of the retain-then-forget recipe: a bounded forget loss without a retain term.

    forget: as `npo`, clipped `ga` or `ihl`     [B]
    """

    needs = Requirements(reference_logprobs=True)
    source = "arXiv 2604.12459 (phases); its exact losses are not public"
    retain = "none"

    loss: BoundedLoss = Field("npo", description="forget loss of the negative phase")
    npo_beta: float = Field(0.1, gt=0, description="beta of npo, where that is the loss")
    clip: float = Field(4.0, gt=0, description="largest token loss in nats, where ga_clip is the loss")

    def requirements(self) -> Requirements:
        return bounded(self.loss, self.npo_beta, self.clip).requirements()

    def forget_loss(self, out: ModelOutputs) -> Tensor:
        return bounded(self.loss, self.npo_beta, self.clip).forget_loss(out)
