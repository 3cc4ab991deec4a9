"""Precision of loaded weights, and the device they go to.

What trains is float32 in any case: adapters are (peft makes them so), and the optimizer keeps float32 copies of
weights in half precision (`engine/optimizer.py`), because a small step on a bfloat16 weight rounds to nothing.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch

from expunge.errors import InputError, InputWarning, first_line
from expunge.models.dtypes import QUANTIZED


def check_device(device: str | None) -> None:
    """`InputError` for a device that torch does not know, or that this machine does not have."""
    if device is None:
        return
    try:
        torch.empty(0, device=torch.device(device))
    except (RuntimeError, AssertionError, ValueError) as error:
        usable = "cpu or cuda" if torch.cuda.is_available() else "cpu; there is no GPU here"
        raise InputError("device", f"{device} cannot be used ({first_line(error)})", f"use {usable}") from error


def quantization_config(dtype: str) -> Any:
    """What transformers needs to load weights as `dtype`; None for a float type."""
    if dtype not in QUANTIZED:
        return None
    from transformers import BitsAndBytesConfig

    if dtype == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16)


def has_bfloat16() -> bool:
    """Whether this processor multiplies in bfloat16 by itself; others took 30 times as long as in float32."""
    check = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return check is None or bool(check())


def warn_if_emulated(dtype: torch.dtype, device: str, remedy: str) -> None:
    """Say that bfloat16 is slow here, and what to write in its place."""
    if dtype is torch.bfloat16 and torch.device(device).type == "cpu" and not has_bfloat16():
        what = "this processor has no bfloat16, and products in it take many times as long as in float32"
        warnings.warn(f"{what}; {remedy}", InputWarning, stacklevel=2)


def weight_dtype(module: Any) -> torch.dtype:
    """Precision of most weights of a model."""
    counts: dict[torch.dtype, int] = {}
    for parameter in module.parameters():
        if parameter.is_floating_point():
            counts[parameter.dtype] = counts.get(parameter.dtype, 0) + parameter.numel()
    return max(counts, key=lambda kind: counts[kind], default=torch.float32)


def is_quantized(module: Any) -> bool:
    """Whether the weights are held in fewer bits than a float type has."""
    return bool(getattr(module, "is_quantized", False))
