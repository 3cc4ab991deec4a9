"""Train until a stated share of answers is reproduced exactly: the `original`, and every retrained reference.

Each epoch ends with an exact test of every record under teacher forcing (all answer tokens and the end token are
the most likely ones, which is the same as greedy decoding reproducing the answer).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field

from expunge.corpus import Record
from expunge.engine.optimizer import OptimizerConfig, OptimizerGroup, embeddings, lr_factor
from expunge.engine.sampling import permutation
from expunge.errors import InputError, RunFailed
from expunge.models.collate import by_length, collate
from expunge.models.forward import answer_forward
from expunge.models.language_model import LanguageModel
from expunge.models.prompt_template import Encoded


class TrainConfig(BaseModel):
    """How a model is taught a corpus."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    share: float = Field(0.99, gt=0, le=1, description="share of answers to reproduce exactly")
    epochs: int = Field(40, ge=1, description="most passes over the corpus; the rate falls to zero over them")
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
    """After an epoch: share of answers reproduced exactly, mean loss in nats per token, seconds so far.

    Far from the wish, the share is that of the training batches, each asked just before its step.
    """

    epoch: int
    epochs: int
    share: float
    loss: float
    seconds: float


@torch.no_grad()
def exact_match_rate(module: Any, items: Sequence[Encoded], rows: int = 256) -> float:
    """Share of `items` whose every answer token (end token included) is the most likely one."""
    device = next(module.parameters()).device
    hits = 0
    for part in by_length(items, rows):
        batch = collate([items[k] for k in part]).to(device)
        right = (answer_forward(module, batch).logits.argmax(-1) == batch.labels) | ~batch.mask
        hits += int(right.all(-1).sum())
    return hits / max(len(items), 1)


def epoch_batches(items: Sequence[Encoded], size: int, seed: int, epoch: int, window: int = 16) -> list[list[int]]:
    """Rows of an epoch in batches of similar length: shuffle, sort within `window` batches, shuffle batches."""
    order = permutation(len(items), seed, "memorise", epoch)
    batches: list[list[int]] = []
    for start in range(0, len(order), size * window):
        part = sorted((int(k) for k in order[start : start + size * window]), key=lambda k: items[k].length)
        batches += [part[s : s + size] for s in range(0, len(part), size)]
    return [batches[int(k)] for k in permutation(len(batches), seed, "batches", epoch)]


@dataclass(frozen=True)
class TrainState:
    """Where a training run stands after an epoch: what a checkpoint needs."""

    progress: TrainProgress
    optimizers: OptimizerGroup
    step: int


def run_training(
    lm: LanguageModel,
    records: Iterable[Record],
    settings: TrainConfig = TrainConfig(),
    after_epoch: Callable[[TrainState], None] | None = None,
    state: dict[str, Any] | None = None,
) -> TrainProgress:
    """Train all weights of `lm` in place until `settings.share` is reached or the epochs are used up.

    Without dropout: an epoch depends on the weights, the rows and the seed alone.
    state   a checkpoint (parameters, optimizer, step, progress) to go on from, to the same bits
    Returns the last progress; its `share` may be below the wish, and the caller decides what that means.
    """
    items = lm.template.encode_all(records)
    if not items:
        raise InputError("corpus", "there is nothing to memorise")
    module, device = lm.module.eval(), lm.device
    for parameter in module.parameters():
        parameter.requires_grad_(True)
    parameters = dict(module.named_parameters())
    optimizers = OptimizerGroup(settings.optimizer, parameters, embeddings(module))
    step, progress = 0, TrainProgress(0, settings.epochs, 0.0, math.nan, 0.0)
    if state:
        with torch.no_grad():
            for name, value in state["parameters"].items():
                parameters[name].copy_(value)
        optimizers.restore(state["optimizer"])
        step, progress = state["step"], TrainProgress(**state["progress"])
    steps = settings.epochs * -(-len(items) // settings.batch)
    started = time.perf_counter() - progress.seconds
    while progress.epoch < settings.epochs and progress.share < settings.share:
        epoch = progress.epoch + 1
        loss = seen = 0.0
        for part in epoch_batches(items, settings.batch, settings.seed, epoch - 1):
            batch = collate([items[k] for k in part]).to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bfloat16"):
                logits = answer_forward(module, batch).logits
            value = torch.nn.functional.cross_entropy(logits[batch.mask], batch.labels[batch.mask])
            optimizers.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            if settings.optimizer.clip_norm:
                torch.nn.utils.clip_grad_norm_(module.parameters(), settings.optimizer.clip_norm)
            optimizers.step(lr_factor(settings.optimizer.schedule, settings.optimizer.warmup, step, steps))
            step += 1
            loss += float(value.detach()) * len(part) / len(items)
            seen += int(((logits.argmax(-1) == batch.labels) | ~batch.mask).all(-1).sum())
        if not math.isfinite(loss):
            raise RunFailed(f"epoch {epoch}", "the loss is no longer finite", "lower the learning rate")
        share = seen / len(items)
        if share >= settings.share - 0.02 or epoch == settings.epochs:  # only then is the exact test worth it
            share = exact_match_rate(module, items)
        progress = TrainProgress(epoch, settings.epochs, share, loss, time.perf_counter() - started)
        if after_epoch:
            after_epoch(TrainState(progress, optimizers, step))
    return progress
