"""Merging back: what does a holder of the old weights get along the way between the unlearned and the old model?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from expunge.audit.attack import AttackCase, AttackOutcome, attack
from expunge.audit.attack_rates import answer_rates
from expunge.audit.context import CheckProfile, mean
from expunge.models.language_model import merge_adapter

PLACES = (-1.0, -0.5, 0.25, 0.5)  # on the line from the audited model (0) to the original (1)
MARGIN = 0.10  # half of the way back, answers of all models stand on the edge
PROFILE = CheckProfile(
    title="Merging back: a holder of the old weights gets no answer on the way back to them, or beyond",
    family="weights",
    preset="default",
    control="the retrained model, merged with the original alike; without one it does not apply, as exact retraining "
    "gives answers half of the way back too",
    cost="4 scoring passes, and two more loads of every model",
    limits="Only who holds the old weights, or an adapter apart from its base, can do it; and he has the answers in "
    "the old weights already. It tells how much of the old model must be merged in, not what others can get.",
    source="Ilharco et al. 2022 (arXiv 2212.04089), task arithmetic",
)


def between(ours: Tensor, original: Tensor, place: float) -> Tensor:
    """ours + place (original - ours), in the precision of `ours`: 1 and 5 at .25 give 2, at -.5 give -1."""
    start = ours.float()
    return (start + place * (original.float() - start)).to(ours.dtype)


@torch.no_grad()
def move(module: Any, ours: Mapping[str, Tensor], original: Mapping[str, Tensor], place: float) -> None:
    """Set the floating-point weights of `module` to a place between two sets of weights."""
    for name, weight in module.named_parameters():
        if weight.is_floating_point():
            weight.copy_(between(ours[name], original[name].to(weight.device), place))


@attack("merge_back", cost=4.0, profile=PROFILE, margin=MARGIN, needs_retrained=True)
def merge_back(case: AttackCase) -> AttackOutcome:
    """True answers of models between the audited and the original one, and beyond the audited one.

    The attacker holds the old weights and adds a share of the difference to the new ones: .25 and .5 of it, or -.5
    and -1, which goes on past unlearning in the same direction. A low rank change that only turns a switch gives the
    answers back at a small share. Models retrained from the same weights give answers back at half of the way too, so
    these are the measure. The original itself is not judged, as it knows everything by definition.
    """
    lm = merge_adapter(case.reload(case.role))
    known = merge_adapter(case.reload("original"))
    ours = {name: weight.detach().clone() for name, weight in lm.module.named_parameters()}
    original = dict(known.module.named_parameters())
    if {n: w.shape for n, w in ours.items()} != {n: w.shape for n, w in original.items()}:
        return AttackOutcome({})
    rates = {}
    for place in PLACES:
        move(lm.module, ours, original, place)
        rates[f"{place:+g} of the way back"] = answer_rates(lm, case.records)
    curve = [(place, mean(values)) for place, values in zip(PLACES, rates.values(), strict=True)]
    return AttackOutcome(rates, "share of the way back to the original", curve)
