"""UNDIAL: self-distillation from the model before the run, with the true answer's logit lowered at every token.

The target is fixed, so the loss has a minimum and training cannot run away as ascent does. Labels outside the answer
are never looked up, and padding is not averaged over.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor
from torch.nn.functional import one_hot

from expunge.methods.base import Method, ModelOutputs, Requirements


class UnDIAL(Method, name="undial"):
    """Teach the distribution that the reference would give if each true token's logit were `beta` lower.

    forget: mean_t CE(q_t, p_t), q_t = softmax(z_ref,t - beta onehot(y_t))     [B]
    """

    needs = Requirements(logits=True, reference_logits=True)
    source = "arXiv 2402.10052"
    retain = "none"

    beta: float = Field(10.0, gt=0, description="how much the true token's logit is lowered; the paper tries 3 to 30")

    def forget_loss(self, out: ModelOutputs) -> Tensor:
        if out.reference is None or out.reference.logits is None or out.labels is None:
            raise ValueError("this loss needs Requirements(reference_logits=True)")
        logits = out.reference.logits.float()
        teacher = (logits - self.beta * one_hot(out.labels, logits.shape[-1])).softmax(-1)
        return out.mean_t(out.weigh(-(teacher * out.log_softmax).sum(-1)))
