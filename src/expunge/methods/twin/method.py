"""The loss of `twin` and its hooks.

The teacher is the original model, asked the same question about a surrogate: somebody of the same shape whom it never
met. The loss is bounded below by 0 and stops by itself. The floor keeps the true answer as unlikely as other people's
answers are about a surrogate.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from expunge.corpus import Record
from expunge.methods.base import ModelOutputs, Requirements, forward_kl
from expunge.methods.examples import TargetCost, Targets
from expunge.methods.twin.config import TwinConfig
from expunge.methods.twin.fallback import OBJECTIVE, fallback_loss, split_by_surrogate
from expunge.methods.twin.targets import build, cost
from expunge.models.language_model import LanguageModel

MIN_LOGPROB = -30.0  # of the teacher in the reverse divergence, so that one token cannot be all of it


class Twin(TwinConfig, name="twin"):
    """Distil what the model says about a never-met surrogate into what it says about the subject.

    forget: distil * mean_t (KL(p_T || p) + reverse * KL(p || p_T)), p_T = p_T(.|surrogate's x), p = p(.|x)
            + [gold answer] (floor_weight relu(tau - NLL(y|x))
                             + ceiling_weight relu(NLL(y|x) - max(tau, least_floor)))     [B]

    Token weights, where there are any, weigh the distances; the floor is a matter of the whole answer, so it stays
    in plain nats and its term counts as much as the tokens do on average. With `say: refuse` a refusal takes the place
    of the teacher's own answer, and the ceiling weighs nothing. A record whose question cannot be asked about a
    surrogate has no teacher; its loss is that of `fallback.py`.
    """

    needs = Requirements(logits=True, targets=("teacher", "floor", "is_gold", "has_teacher"))
    source = "this project; nearest relatives arXiv 2310.02238 and 2402.10052"

    def forget_loss(self, out: ModelOutputs) -> Tensor:
        teacher, floor, is_gold = out.target("teacher"), out.target("floor"), out.target("is_gold")
        log_p = out.log_softmax
        divergence = forward_kl(teacher, log_p)
        if self.reverse:
            divergence = divergence + self.reverse * forward_kl(log_p, teacher.clamp(min=MIN_LOGPROB))
        distance = out.mean_t(out.weigh(divergence))
        below = (floor - out.answer_nll).relu()
        above = (out.answer_nll - floor.clamp(min=self.least_floor)).relu()
        penalty = self.floor_weight * below + self.ceiling * above
        loss = self.distil * distance + is_gold * penalty * out.mean_t(out.weigh(torch.ones_like(out.logprob)))
        has_teacher = out.target("has_teacher")
        return loss if has_teacher.all() else torch.where(has_teacher, loss, fallback_loss(out))

    def fallback(self, forget: Sequence[Record]) -> tuple[str, list[Record]]:
        return OBJECTIVE, split_by_surrogate(forget)[1]

    def build_targets(
        self, lm: LanguageModel, forget: Sequence[Record], retain: Sequence[Record], seed: int
    ) -> Targets:
        return build(lm, forget, retain, self, seed)

    def target_cost(
        self, lm: LanguageModel, forget: Sequence[Record], retain: Sequence[Record], seed: int
    ) -> TargetCost:
        return cost(lm, forget, retain, self, seed)
