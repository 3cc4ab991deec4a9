"""Relearning: a few plain training steps on given records, as an attacker would do to restore what was unlearned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
    return base.with_module(_taught(base, records, steps, lr, rank, batch, seed))


@contextmanager
def relearned(
    base: LanguageModel,
    records: Sequence[Record],
    steps: int,
    lr: float,
    *,
    rank: int = 8,
    batch: int = 32,
    seed: int = 0,
) -> Iterator[LanguageModel]:
    """Inside, `base` after the steps of `relearn_steps`; afterwards its weights and modules are as before.

    `base` must have no adapter (see `merge_adapter`). Only a new adapter trains, and it is taken off again.
    """
    module = _taught(base, records, steps, lr, rank, batch, seed)
    try:
        yield base.with_module(module)
    finally:
        module.unload()
        if hasattr(base.module, "peft_config"):
            del base.module.peft_config


def _taught(
    base: LanguageModel, records: Sequence[Record], steps: int, lr: float, rank: int, batch: int, seed: int
) -> Any:
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
    return module.eval()
