"""Train a model until a target share of answers is reproduced exactly: the original, and every retrained reference."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from expunge._config import FrozenModel
from expunge.corpus import Record
from expunge.engine.optimizer import OptimizerConfig, OptimizerGroup, embeddings, lr_factor
from expunge.engine.sampling import permutation
from expunge.errors import InputError, RunFailed
from expunge.models.collate import Batch, by_length, collate
from expunge.models.forward import answer_forward
from expunge.models.language_model import LanguageModel
from expunge.models.prompt_template import Encoded

NEAR_TARGET = 0.02  # accuracy on the training batches from which on all records are tested exactly


class TrainConfig(FrozenModel):
    """How a model is trained on a corpus."""

    target_accuracy: float = Field(0.99, gt=0, le=1, description="share of answers to reproduce exactly")
    epochs: int = Field(40, ge=1, description="passes over the corpus, at most; the learning rate falls to 0 over them")
    batch: int = Field(64, ge=1, description="rows per step")
    optimizer: OptimizerConfig = Field(
        OptimizerConfig(name="muon", lr=6e-3, adamw_lr=1e-2, warmup=0.02), description="optimizer"
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="float32, or bfloat16 for matrix products (wide models)"
    )
    seed: int = Field(42, description="seed of the row order and of initial weights")


@dataclass(frozen=True)
class TrainProgress:
    """The state after an epoch.

    Attributes:
        epoch: finished epochs.
        epochs: epochs at most.
        accuracy: share of answers reproduced exactly. More than 2 points below the target it is that of the training
            batches, each measured before its step; near the target and at the end it is exact.
        loss: mean loss of the epoch, nats per token.
        seconds: wall clock so far.
    """

    epoch: int
    epochs: int
    accuracy: float
    loss: float
    seconds: float


@dataclass(frozen=True)
class TrainCheckpoint:
    """A training run after an epoch."""

    module: Any
    progress: TrainProgress
    optimizers: OptimizerGroup
    step: int

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts and tensors for `checkpoint.save`."""
        return {
            "parameters": {n: p.detach() for n, p in self.module.named_parameters()},
            "optimizer": self.optimizers.state(),
            "step": self.step,
            "progress": asdict(self.progress),
        }


def _exact_matches(logits: Tensor, batch: Batch) -> int:
    """Rows whose every answer token, end token included, has the highest logit."""
    return int(((logits.argmax(-1) == batch.labels) | ~batch.mask).all(-1).sum())


@torch.no_grad()
def exact_match_rate(module: Any, items: Sequence[Encoded], rows: int = 256) -> float:
    """Share of `items` that greedy decoding reproduces, measured under teacher forcing, which is the same."""
    device = next(module.parameters()).device
    matches = 0
    for part in by_length(items, rows):
        batch = collate([items[k] for k in part]).to(device)
        matches += _exact_matches(answer_forward(module, batch).logits, batch)
    return matches / max(len(items), 1)


def epoch_batches(items: Sequence[Encoded], size: int, seed: int, epoch: int, window: int = 16) -> list[list[int]]:
    """Rows of an epoch in batches of similar length: shuffle, sort within `window` batches, shuffle batches."""
    order = permutation(len(items), seed, "memorise", epoch)
    batches: list[list[int]] = []
    for start in range(0, len(order), size * window):
        part = sorted((int(k) for k in order[start : start + size * window]), key=lambda k: items[k].length)
        batches += [part[s : s + size] for s in range(0, len(part), size)]
    return [batches[int(k)] for k in permutation(len(batches), seed, "batches", epoch)]


def run_training(
    lm: LanguageModel,
    records: Iterable[Record],
    config: TrainConfig = TrainConfig(),
    after_epoch: Callable[[TrainCheckpoint], None] | None = None,
    state: Mapping[str, Any] | None = None,
) -> TrainProgress:
    """Train all weights in place until the target accuracy or the last epoch. Without dropout.

    Args:
        lm: the model.
        records: what to learn.
        config: settings.
        after_epoch: called after each epoch; may raise to stop.
        state: a checkpoint to resume from, to the same bits.

    Returns:
        The last progress; its accuracy may be below the target.

    Raises:
        InputError: there are no records.
        RunFailed: the loss is no longer finite.
    """
    items = lm.template.encode_all(records)
    if not items:
        raise InputError("corpus", "there are no records to train on")
    module = lm.module.eval()
    for parameter in module.parameters():
        parameter.requires_grad_(True)
    parameters = dict(module.named_parameters())
    optimizers = OptimizerGroup(config.optimizer, parameters, embeddings(module))
    step, progress = 0, TrainProgress(0, config.epochs, 0.0, math.nan, 0.0)
    if state:
        with torch.no_grad():
            for name, value in state["parameters"].items():
                parameters[name].copy_(value)
        optimizers.restore(state["optimizer"])
        step, progress = state["step"], TrainProgress(**state["progress"])
    total_steps = config.epochs * -(-len(items) // config.batch)
    started = time.perf_counter() - progress.seconds
    while progress.epoch < config.epochs and progress.accuracy < config.target_accuracy:
        epoch = progress.epoch + 1
        loss, matches = 0.0, 0
        for part in epoch_batches(items, config.batch, config.seed, epoch - 1):
            factor = lr_factor(config.optimizer.schedule, config.optimizer.warmup, step, total_steps)
            batch_loss, batch_matches = _step(lm, collate([items[k] for k in part]), config, optimizers, factor)
            step += 1
            loss += batch_loss * len(part) / len(items)
            matches += batch_matches
        if not math.isfinite(loss):
            raise RunFailed(f"epoch {epoch}", "the loss is no longer finite", "lower the learning rate")
        accuracy = matches / len(items)
        if accuracy >= config.target_accuracy - NEAR_TARGET or epoch == config.epochs:
            accuracy = exact_match_rate(module, items)
        progress = TrainProgress(epoch, config.epochs, accuracy, loss, time.perf_counter() - started)
        if after_epoch:
            after_epoch(TrainCheckpoint(module, progress, optimizers, step))
    return progress


def _step(
    lm: LanguageModel, batch: Batch, config: TrainConfig, optimizers: OptimizerGroup, factor: float
) -> tuple[float, int]:
    """One optimizer step: (loss before it, rows reproduced exactly before it)."""
    batch = batch.to(lm.device)
    with torch.autocast(lm.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
        logits = answer_forward(lm.module, batch).logits
    loss = torch.nn.functional.cross_entropy(logits[batch.mask], batch.labels[batch.mask])
    optimizers.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    if config.optimizer.clip_norm:
        torch.nn.utils.clip_grad_norm_(lm.module.parameters(), config.optimizer.clip_norm)
    optimizers.step(factor)
    return float(loss.detach()), _exact_matches(logits, batch)
