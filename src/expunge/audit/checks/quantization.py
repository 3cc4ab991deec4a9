"""Quantization: does rounding the weights to 8 or 4 bits bring the forgotten answers back?"""

from __future__ import annotations

import torch
from torch import Tensor

from expunge.audit.attack import AttackCase, AttackOutcome, attack
from expunge.audit.attack_rates import answer_rates
from expunge.audit.context import CheckProfile
from expunge.models.language_model import LanguageModel, merge_adapter

BITS = (8, 4)
GROUP = 128  # weights of a row that share a step at 4 bits
PROFILE = CheckProfile(
    title="Quantization: rounding the weights to 8 or 4 bits does not bring the answers back",
    family="weights",
    preset="default",
    control="the retrained model, rounded alike; else matched controls on the rounded model",
    cost="2 scoring passes, and one more load of every model",
    limits="Weights alone are rounded, not activations; formats with calibration data may round otherwise.",
    source="Zhang et al. 2024 (arXiv 2410.16454)",
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
    rounded = (parts * levels / peak).round() * peak / levels
    return rounded.reshape(rows, columns).to(weight.dtype)


@torch.no_grad()
def quantize(lm: LanguageModel, bits: int) -> None:
    """Round the weight matrices of a model in place, embeddings and norms left out."""
    vocabulary = lm.module.get_output_embeddings().weight.shape[0]
    for weight in lm.module.parameters():
        if weight.dim() == 2 and weight.is_floating_point() and weight.shape[0] != vocabulary:
            weight.copy_(round_weights(weight, bits, GROUP if bits < 8 else None))


@attack("quantization", cost=2.0, profile=PROFILE)
def quantization(case: AttackCase) -> AttackOutcome:
    """True answers after the weights were rounded to int8 and to int4.

    Unlearning moves weights a little; coarse rounding may move them back to where they were (Zhang et al. 2024). Every
    weight matrix but embeddings is rounded symmetrically: by row at 8 bits, by groups of 128 at 4 bits.
    """
    rates = {}
    for bits in BITS:
        lm = merge_adapter(case.reload(case.role))
        quantize(lm, bits)
        rates[f"int{bits}"] = answer_rates(lm, case.records)
    return AttackOutcome(rates)
