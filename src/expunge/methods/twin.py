"""Twin: forget towards the model that never knew.

The teacher is the original model, asked the same question about somebody of the same shape whom it never met.
Its answers are what an ignorant model would say, so the loss is bounded below by 0 and stops by itself. The
floor keeps the true answer as unlikely as other people's answers are. The engine draws the twins, asks the
teacher and draws the floors; `candidates`, `own_answer` and `least_floor` tell it how.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from expunge.methods.base import Method, Needs, Outputs, forward_kl


class Twin(Method, name="twin"):
    """Distil what the model says about a never-met twin into what it says about the person.

    forget: mean_t KL(p_T(.|twin of x) || p(.|x)) + lam_h [gold answer] relu(tau - NLL_mean(y|x))     [B]
    """

    needs = Needs(logits=True, rows="twin")
    source = "this project; nearest relatives arXiv 2310.02238 and 2402.10052"

    lam_h: float = Field(0.5, ge=0, description="weight of the floor under the true answer's loss")
    candidates: int = Field(16, ge=1, description="never-trained identities to choose a subject's twin from")
    own_answer: bool = Field(True, description="distil along the teacher's own answer too")
    least_floor: float = Field(
        1.0, ge=0, description="nats; a lower floor is drawn again, or a true answer could stay in place")

    def forget_loss(self, out: Outputs) -> Tensor:
        if out.teacher is None or out.floor is None or out.is_gold is None:
            raise ValueError('twin needs Needs(rows="twin"): teacher, floor and is_gold')
        distance = out.mean_t(forward_kl(out.teacher, out.log_softmax))
        short = (out.floor - out.mean_t(-out.logprob)).relu()
        return distance + self.lam_h * out.is_gold * short
