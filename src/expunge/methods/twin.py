"""Twin: forget towards the model that never knew.

The teacher is the original model, asked the same question about somebody of the same shape whom it never met.
Its answers are what an ignorant model would say, so the loss is bounded below by 0 and stops by itself. The
floor keeps the true answer as unlikely as strangers' answers are. The engine draws the twins, asks the teacher,
draws the floors and lowers them where a person would stand out (`engine/floors.py`); the settings from `identity` on
tell it how.

Surprising: where the teacher itself echoes the true answer, its distribution is corrected to the floor before it
is distilled. Left as it is, the two terms would pull against each other, and what stays would pay for it. One twin
for all that is asked about a person costs least: answers that belong together are learnt as a change of the name,
answers drawn fact by fact have to be learnt one by one.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from expunge.methods.base import Method, ModelOutputs, Requirements, forward_kl

Replacement = Literal["both", "words", "picture"]
LEAST = -30.0  # log-prob of the teacher that the divergence from it looks at, or one token could be all of it


class Twin(Method, name="twin"):
    """Distil what the model says about a never-met twin into what it says about the person.

    forget: distil * mean_t (KL(p_T || p) + reverse * KL(p || p_T)), p_T = p_T(.|twin of x), p = p(.|x)
            + [gold answer] (floor_weight relu(tau - NLL(y|x))
                             + ceiling_weight relu(NLL(y|x) - max(tau, least_floor)))     [B]

    Token weights, where there are any, weigh the distances; the floor is a matter of the whole answer, so it stays
    in plain nats and its term counts as much as the tokens do on average.
    """

    needs = Requirements(logits=True, rows="twin")
    source = "this project; nearest relatives arXiv 2310.02238 and 2402.10052"

    distil: float = Field(1.0, ge=0, description="weight of the distance to the teacher; 0 leaves only the floors")
    reverse: float = Field(
        0.0,
        ge=0,
        description="weight of the divergence the other way round: without it a model "
        "that cannot be like its teacher hedges, and whoever it is less sure about stands out",
    )
    floor_weight: float = Field(0.5, ge=0, description="weight of what the true answer's loss is short of its floor")
    ceiling_weight: float = Field(
        0.0,
        ge=0,
        description="weight of what it lies above: not 0 makes the floor a target, and "
        "the teacher is corrected to it; never to less than least_floor",
    )
    identity: Literal["subject", "fact"] = Field(
        "subject", description="what has a twin of its own: a subject as a whole, or every fact of it"
    )
    floors: Literal["count", "type"] = Field(
        "count", description="whose answers they are drawn from: those that as many others give, or all of the type"
    )
    swap: Replacement = Field("both", description="what a twin brings of its own where a record shows a picture")
    candidates: int = Field(16, ge=1, description="never-trained identities to choose a subject's twin from")
    strangers: int = Field(4, ge=1, description="of these candidates, how many other people's answers are asked about")
    own_answer: bool = Field(True, description="distil along the teacher's own answer too")
    mask_unknown_tokens: bool = Field(
        True,
        description="where nobody who stays answers such a question: a teacher that does not "
        "know the words which only such answers use",
    )
    least_floor: float = Field(
        1.5, ge=0, description="nats; a lower floor is drawn again, or a true answer could stay in place"
    )

    @property
    def towards(self) -> Twin:
        return self

    def forget_loss(self, out: ModelOutputs) -> Tensor:
        if out.teacher is None or out.floor is None or out.is_gold is None:
            raise ValueError('twin needs Needs(rows="twin"): teacher, floor and is_gold')
        said = out.log_softmax
        apart = forward_kl(out.teacher, said)
        if self.reverse:
            apart = apart + self.reverse * forward_kl(said, out.teacher.clamp(min=LEAST))
        distance = out.mean_t(out.weigh(apart))
        short = (out.floor - out.answer_nll).relu()
        over = (out.answer_nll - out.floor.clamp(min=self.least_floor)).relu()
        off = self.floor_weight * short + self.ceiling_weight * over
        return self.distil * distance + out.is_gold * off * out.mean_t(out.weigh(torch.ones_like(out.logprob)))


def correct_leakage(log_p: Tensor, labels: Tensor, floor: float, exact: bool = False) -> Tensor:
    """The teacher's log-probs [a, V] with the answer `labels` [a] at a mean NLL of at least `floor` nats, or `exact`ly.

    Every answer token's NLL is multiplied by the same factor (tokens that say nothing keep saying nothing); the
    other tokens of a position share the freed probability in proportion.
    """
    nll = -log_p.gather(-1, labels.unsqueeze(-1)).squeeze(-1)  # [a]
    mean = float(nll.mean())
    if mean >= floor and not exact:
        return log_p
    nll = nll.clamp(min=1e-4)
    raised = (nll * (floor / float(nll.mean()))).unsqueeze(-1)
    places = labels.unsqueeze(-1)
    others = log_p.scatter(-1, places, -torch.inf).log_softmax(-1)
    return (others + torch.log(-torch.expm1(-raised))).scatter(-1, places, -raised)
