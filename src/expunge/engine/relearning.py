"""Relearning: a few plain training steps on given records, as an attacker would do to restore what was unlearned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from expunge.corpus import Record
from expunge.engine.optimizer import OptimizerConfig, OptimizerGroup
from expunge.engine.sampling import batch_at
from expunge.models.adapters import TrainableConfig, prepare, trainable
from expunge.models.collate import collate
from expunge.models.forward import answer_forward
from expunge.models.language_model import LanguageModel, merge_adapter


def relearn_steps(
    lm: LanguageModel,
    records: Sequence[Record],
    steps: int,
    lr: float,
    *,
    rank: int = 8,
    batch: int = 32,
    seed: int = 0,
) -> LanguageModel:
    """AdamW steps of a new adapter on the answers of `records`, constant learning rate; returns the new model."""
    base = merge_adapter(lm)
    module = prepare(base.module, TrainableConfig(rank=rank, lora_alpha=2.0 * rank), seed)
    parameters: dict[str, Any] = trainable(module)
    optimizers = OptimizerGroup(OptimizerConfig(lr=lr, schedule="constant"), parameters, set())
    items = base.template.encode_all(records)
    for step in range(steps):
        part = collate([items[k] for k in batch_at(step, batch, len(items), seed, "finetune")]).to(base.device)
        logits = answer_forward(module, part).logits
        loss = torch.nn.functional.cross_entropy(logits[part.mask], part.labels[part.mask])
        optimizers.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizers.step(1.0)
    return base.with_module(module.eval())
