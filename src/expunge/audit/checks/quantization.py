"""Quantization: does rounding the weights to 8 or 4 bits bring the forgotten answers back?"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from expunge.audit.attack import AttackCase, AttackOutcome, attack
from expunge.audit.attack_rates import answer_rates
from expunge.audit.context import CheckProfile
from expunge.models.language_model import LanguageModel, merge_adapter

GROUP = 128  # weights of a row that share a step at 4 bits
NF4 = (-1.0, -0.6961928, -0.52507305, -0.3949175, -0.28444138, -0.18477343, -0.09105004, 0.0,
       0.0795803, 0.1609302, 0.2461123, 0.33791524, 0.44070983, 0.562617, 0.72295684, 1.0)  # fmt: skip
NF4_GROUP = 64  # weights that share a scale
PROFILE = CheckProfile(
    title="Quantization: rounding the weights to 8 or 4 bits does not bring the answers back",
    family="weights",
    preset="default",
    control="the retrained model, rounded alike; else matched controls on the rounded model",
    cost="3 scoring passes, and three more loads of every model",
    limits="Weights alone are rounded, not activations; formats with calibration data may round otherwise.",
    source="Zhang et al. 2024 (arXiv 2410.16454); levels of nf4: Dettmers et al. 2023 (arXiv 2305.14314)",
)


def round_weights(weight: Tensor, bits: int, group: int | None = None) -> Tensor:
    """`weight` [out, in] rounded to symmetric integers of `bits` bits and back, in its own precision.

    Each row, or each `group` of weights of a row, has a step of its own: its largest magnitude over 2^(bits-1) - 1.
    Ties go to even.
    """
    flat = weight.detach().float()
    rows, columns = flat.shape
    size = group if group and columns % group == 0 else columns
    parts = flat.reshape(rows, -1, size)
    levels = 2 ** (bits - 1) - 1
    peak = parts.abs().amax(-1, keepdim=True)
    peak = torch.where(peak > 0, peak, 1.0)
    rounded: Tensor = (parts * levels / peak).round() * peak / levels
    return rounded.reshape(rows, columns).to(weight.dtype)


def round_nf4(weight: Tensor, group: int = NF4_GROUP) -> Tensor:
    """`weight` rounded to the 16 levels of nf4 and back, in its own precision; its last group may be shorter.

    Each group is scaled by its largest magnitude. (1, -.7, .02, .2) gives (1, -.696, 0, .161).
    """
    flat = weight.detach().float().flatten()
    padded = torch.nn.functional.pad(flat, (0, -len(flat) % group)).view(-1, group)
    peak = padded.abs().amax(-1, keepdim=True)
    peak = torch.where(peak > 0, peak, 1.0)
    levels = torch.tensor(NF4, device=flat.device)
    middles = (levels[1:] + levels[:-1]) / 2
    rounded: Tensor = levels[torch.bucketize(padded / peak, middles)] * peak
    return rounded.flatten()[: len(flat)].view(weight.shape).to(weight.dtype)


ROUNDING: dict[str, Callable[[Tensor], Tensor]] = {
    "int8": partial(round_weights, bits=8),
    "int4": partial(round_weights, bits=4, group=GROUP),
    "nf4": round_nf4,
}


@torch.no_grad()
def quantize(lm: LanguageModel, form: str) -> None:
    """Round the weight matrices of a model in place to int8, int4 or nf4, embeddings and norms left out."""
    vocabulary = lm.module.get_output_embeddings().weight.shape[0]
    for weight in lm.module.parameters():
        if weight.dim() == 2 and weight.is_floating_point() and weight.shape[0] != vocabulary:
            weight.copy_(ROUNDING[form](weight))


@attack("quantization", cost=3.0, profile=PROFILE, by_range="strangers")
def quantization(case: AttackCase) -> AttackOutcome:
    """True answers after the weights were rounded to int8, to int4 and to nf4.

    Unlearning moves weights a little; coarse rounding may move them back to where they were (Zhang et al. 2024). Every
    weight matrix but embeddings is rounded symmetrically: by row at 8 bits, by groups of 128 at 4 bits; and
    to the 16 levels of nf4 by groups of 64, as bitsandbytes stores weights.
    """
    rates = {}
    for form in ROUNDING:
        lm = merge_adapter(case.reload(case.role))
        quantize(lm, form)
        rates[form] = answer_rates(lm, case.records)
    return AttackOutcome(rates)
