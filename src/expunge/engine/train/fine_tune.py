"""Teaching a pretrained model: AdamW at a low rate on adapters that are merged at the end, or on the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from pydantic import Field, field_validator, model_validator

from expunge.engine.optimizer import OptimizerConfig
from expunge.engine.train.own_text import OwnText
from expunge.engine.train.train_loop import TrainConfig, TrainRows
from expunge.models.adapters import Layers, TrainableConfig, prepare, trainable
from expunge.models.fused_lora import fuse, unfuse
from expunge.models.language_model import LanguageModel, merge_adapter
from expunge.models.prefix_cache import PrefixCache

LORA_LR, LORA_LR_ALL, FULL_LR = 2e-3, 1e-3, 1e-4  # adapters on upper blocks, on all blocks; the weights themselves
WARMUP = 0.02  # share of all steps
CACHE_BYTES = 1 << 30  # of hidden states in memory; more goes to a file
HALF = (torch.float16, torch.bfloat16)


class FineTuneConfig(TrainConfig):
    """How a pretrained model is taught; the learning rate follows from `lora` and `layers` where none is given."""

    batch: int = Field(4, ge=1, description="rows per step")
    lora: int | None = Field(
        16, ge=1, description="rank of the adapters that learn and are merged at the end; none to teach the weights"
    )
    layers: Layers = Field("1/4", description="blocks that learn: all, k for the last k, or 1/4 for the last quarter")
    kl_weight: float = Field(
        1.0, ge=0, description="weight of the KL divergence from the given model on text that it writes itself; 0: none"
    )
    kl_batch: int = Field(2, ge=1, description="such texts per step")
    optimizer: OptimizerConfig = Field(
        OptimizerConfig(lr=LORA_LR, warmup=WARMUP), description="optimizer; AdamW at a rate for pretrained models"
    )

    @field_validator("lora", mode="before")
    @classmethod
    def _none(cls, value: Any) -> Any:
        return None if isinstance(value, str) and value.strip().lower() == "none" else value

    @model_validator(mode="before")
    @classmethod
    def _rate(cls, raw: Any) -> Any:
        changes = raw.get("optimizer", {}) if isinstance(raw, Mapping) else None
        if not isinstance(changes, Mapping):
            return raw
        lora, layers = (raw.get(name, cls.model_fields[name].default) for name in ("lora", "layers"))
        rate = FULL_LR if cls._none(lora) is None else LORA_LR_ALL if layers == "all" else LORA_LR
        return {**raw, "optimizer": {"lr": rate, "warmup": WARMUP, **changes}}


def make_trainable(lm: LanguageModel, settings: TrainConfig) -> LanguageModel:
    """`lm` ready to learn: what trains requires gradients and is float32, also where the stored weights are half."""
    if not isinstance(settings, FineTuneConfig):
        return lm.with_module(_in_float32(lm.module).requires_grad_(True))
    if settings.lora is None:
        module = prepare(_in_float32(lm.module), TrainableConfig(which="full", layers=settings.layers), settings.seed)
        return lm.with_module(module)
    adapters = TrainableConfig(rank=settings.lora, lora_alpha=2.0 * settings.lora, layers=settings.layers)
    module = prepare(lm.module, adapters, settings.seed)
    for parameter in trainable(module).values():
        parameter.data = parameter.data.float()
    fuse(module)
    return lm.with_module(module)


def complete(lm: LanguageModel, rows: TrainRows, settings: TrainConfig) -> TrainRows:
    """`rows` with what else a training of `lm` needs before its first step.

    The states of the frozen lower blocks, if only upper blocks learn and the states are exact; and text of the model
    itself.
    """
    if not isinstance(settings, FineTuneConfig):
        return rows
    size = 0 if settings.layers == "all" else CACHE_BYTES
    cache = PrefixCache.build(lm.module, rows.items, budget=size) if size else ""
    own = OwnText.of(lm, settings.kl_batch, settings.kl_weight, settings.seed, size) if settings.kl_weight else None
    return replace(rows, cache=None if isinstance(cache, str) else cache, own_text=own, share=True)


def as_stored(lm: LanguageModel, dtype: torch.dtype) -> LanguageModel:
    """`lm` as a plain model again: adapters merged, half precision where it came in half. `lm` is used up."""
    unfuse(lm.module)
    merged = merge_adapter(lm)
    return merged.with_module(merged.module.to(dtype)) if dtype in HALF else merged


def stored_dtype(lm: LanguageModel) -> torch.dtype:
    """Precision of the weights of a loaded model."""
    return next((p.dtype for p in lm.module.parameters() if p.is_floating_point()), torch.float32)


def _in_float32(module: Any) -> Any:
    return module.float() if any(p.dtype in HALF for p in module.parameters()) else module
