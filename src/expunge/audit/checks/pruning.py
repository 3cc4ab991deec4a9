"""Pruning: does leaving out the smallest weights bring the forgotten answers back?"""

from __future__ import annotations

import torch
from torch import Tensor

from expunge.audit.attack import AttackCase, AttackOutcome, attack
from expunge.audit.attack_rates import answer_rates
from expunge.audit.context import CheckProfile, mean
from expunge.models.language_model import LanguageModel, merge_adapter

SHARES = (0.1, 0.3, 0.5)
PROFILE = CheckProfile(
    title="Pruning: leaving out the smallest weights does not bring the answers back",
    family="weights",
    preset="default",
    control="the retrained model, pruned alike; else matched controls on the pruned model",
    cost="3 scoring passes, and one more load of every model",
    limits="By magnitude alone and without training afterwards; pruning by activations may remove other weights.",
    source="Han et al. 2015 (arXiv 1506.02626)",
)


def prune_smallest(weight: Tensor, share: float) -> Tensor:
    """`weight` with its smallest magnitudes at 0: floor(share x entries), and those that equal the last of them.

    Half of (3, -1, 2, -4) gives (3, 0, 0, -4).
    """
    magnitude, count = weight.detach().abs().float(), int(share * weight.numel() + 1e-9)
    if count == 0:
        return weight.detach()
    return weight.detach() * (magnitude > magnitude.flatten().kthvalue(count).values)


@torch.no_grad()
def prune(lm: LanguageModel, share: float) -> None:
    """Prune the weight matrices of a model in place, each on its own, embeddings and norms left out."""
    vocabulary = lm.module.get_output_embeddings().weight.shape[0]
    for weight in lm.module.parameters():
        if weight.dim() >= 2 and weight.is_floating_point() and vocabulary not in weight.shape:
            weight.copy_(prune_smallest(weight, share))


@attack("pruning", cost=3.0, profile=PROFILE, by_range="strangers")
def pruning(case: AttackCase) -> AttackOutcome:
    """True answers after a tenth, three tenths and half of the smallest weights of each matrix were left out.

    Unlearning by small changes may sit in small weights, so that a pruned copy of the model gives the answers again.
    The larger share is taken from the smaller one, so one load serves all.
    """
    lm = merge_adapter(case.reload(case.role))
    rates = {}
    for share in SHARES:
        prune(lm, share)
        rates[f"{share:.0%} pruned"] = answer_rates(lm, case.records)
    curve = [(share, mean(values)) for share, values in zip(SHARES, rates.values(), strict=True)]
    return AttackOutcome(rates, "share of weights left out", curve)
