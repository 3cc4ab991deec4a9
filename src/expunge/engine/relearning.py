"""Relearning: plain training steps on given records, as an attacker would do to restore what was unlearned."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch

from expunge.corpus import Record
from expunge.engine.optimizer import OptimizerConfig, OptimizerGroup
from expunge.engine.sampling import batch_at
from expunge.models.adapters import TrainableConfig, prepare, trainable
from expunge.models.collate import collate
from expunge.models.forward import answer_forward
from expunge.models.language_model import LanguageModel, merge_adapter


@dataclass(frozen=True)
class Attacker:
    """How somebody trains a model whose weights he has; the learning rate is constant.

    Attributes:
        lr: Learning rate.
        which: What trains: a new adapter on all blocks, or every weight.
        optimizer: adamw or sgd.
        rank: Of the adapter.
        batch: Rows in a step, at most.
        clip_norm: Total norm above which a gradient is scaled down; None for none.
    """

    lr: float
    which: Literal["lora", "full"] = "lora"
    optimizer: Literal["adamw", "sgd"] = "adamw"
    rank: int = 8
    batch: int = 32
    clip_norm: float | None = None


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
    attacker = Attacker(lr, rank=rank, batch=batch)
    module = prepare(base.module, TrainableConfig(rank=rank, lora_alpha=2.0 * rank), seed)
    for _ in _training(base, module, records, attacker, (steps,), seed):
        pass
    return base.with_module(module.eval())


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
    with closing(relearning_points(base, records, Attacker(lr, rank=rank, batch=batch), (steps,), seed)) as points:
        yield next(points)[1]


def relearning_points(
    base: LanguageModel, records: Sequence[Record], attacker: Attacker, points: Sequence[int], seed: int = 0
) -> Generator[tuple[int, LanguageModel]]:
    """(steps so far, the model after them) at each of the rising `points` of one training.

    `base` must have no adapter. When the iterator is at its end or closed, weights and modules are as before.
    """
    config = TrainableConfig(which=attacker.which, rank=attacker.rank, lora_alpha=2.0 * attacker.rank)
    module = prepare(base.module, config, seed)
    before = {n: p.detach().clone() for n, p in trainable(module).items()} if attacker.which == "full" else {}
    try:
        for steps in _training(base, module, records, attacker, points, seed):
            yield steps, base.with_module(module.eval())
    finally:
        if attacker.which == "lora":
            module.unload()
            if hasattr(base.module, "peft_config"):
                del base.module.peft_config
        else:
            with torch.no_grad():
                for name, parameter in module.named_parameters():
                    parameter.copy_(before[name])
            module.requires_grad_(False)


def _training(
    base: LanguageModel, module: Any, records: Sequence[Record], attacker: Attacker, points: Sequence[int], seed: int
) -> Iterator[int]:
    """Train `module`, and stop at each of the points."""
    parameters: dict[str, Any] = trainable(module)
    config = OptimizerConfig(name=attacker.optimizer, lr=attacker.lr, schedule="constant")
    optimizers = OptimizerGroup(config, parameters, set())
    items = base.template.encode_all(records)
    for step in range(max(points)):
        part = collate([items[k] for k in batch_at(step, attacker.batch, len(items), seed, "finetune")])
        part = part.to(base.device)
        logits = answer_forward(module, part).logits
        loss = torch.nn.functional.cross_entropy(logits[part.mask], part.labels[part.mask])
        optimizers.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if attacker.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(parameters.values(), attacker.clip_norm)
        optimizers.step(1.0)
        if step + 1 in points:
            optimizers.zero_grad()
            yield step + 1
