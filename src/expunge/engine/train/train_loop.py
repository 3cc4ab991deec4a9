"""Train a model until a target share of answers is reproduced exactly: the original, and every retrained reference.

A document has no answer to reproduce: its text counts with the share of its tokens that are predicted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from expunge._config import FrozenModel
from expunge.corpus import Record
from expunge.engine.checkpoint import fitting
from expunge.engine.optimizer import OptimizerConfig, OptimizerGroup, embeddings, lr_factor
from expunge.engine.sampling import permutation
from expunge.engine.train.own_text import OwnText
from expunge.errors import InputError, RunFailed
from expunge.models.adapters import trainable
from expunge.models.collate import Batch, Budget, collate
from expunge.models.forward import answer_forward
from expunge.models.language_model import LanguageModel
from expunge.models.precision import warn_if_emulated
from expunge.models.prefix_cache import PrefixCache
from expunge.models.prompt_template import Encoded
from expunge.models.shared_prefix import answer_forward_shared

NEAR_TARGET = 0.02  # accuracy on the training batches from which on all records are tested exactly


class TrainConfig(FrozenModel):
    """How a model is trained on a corpus."""

    target_accuracy: float = Field(0.99, gt=0, le=1, description="share of answers to reproduce exactly")
    epochs: int = Field(
        40, ge=1, le=1_000_000, description="passes over the corpus, at most; the learning rate falls to 0 over them"
    )
    batch: int = Field(64, ge=1, le=1_000_000, description="rows per step")
    optimizer: OptimizerConfig = Field(
        OptimizerConfig(name="muon", lr=6e-3, adamw_lr=1e-2, warmup=0.02), description="optimizer"
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="float32, or bfloat16 for matrix products (wide models)"
    )
    seed: int = Field(42, description="seed of the row order and of initial weights")


@dataclass(frozen=True)
class TrainProgress:
    """The state after a step.

    Attributes:
        epoch: finished epochs.
        epochs: epochs at most.
        accuracy: share of answers reproduced exactly (of a document: share of its tokens) in the last finished epoch.
            More than 2 points below the target it is that of the training batches, each measured before its step; near
            the target and at the end it is exact.
        loss: mean loss of the epoch so far, nats per token.
        seconds: wall clock so far.
        step: finished steps.
        steps: steps at most.
    """

    epoch: int
    epochs: int
    accuracy: float
    loss: float
    seconds: float
    step: int = 0
    steps: int = 0


@dataclass(frozen=True)
class TrainCheckpoint:
    """A training run after a step; `sums` are loss and matches of the running epoch."""

    module: Any
    progress: TrainProgress
    optimizers: OptimizerGroup
    step: int
    sums: tuple[float, float] = (0.0, 0.0)

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts and tensors for `checkpoint.save`."""
        return {
            "parameters": {n: p.detach() for n, p in trainable(self.module).items()},
            "optimizer": self.optimizers.state(),
            "step": self.step,
            "sums": list(self.sums),
            "progress": asdict(self.progress),
        }


@dataclass(frozen=True)
class TrainRows:
    """The rows of a training: token ids, which of them are documents, the states that frozen lower blocks give, and
    text of the model itself that it should not change its mind about."""

    items: Sequence[Encoded]
    documents: frozenset[int] = frozenset()
    cache: PrefixCache | None = None
    own_text: OwnText | None = None
    share: bool = False  # run tokens with which all rows of a batch begin once

    @classmethod
    def of(cls, lm: LanguageModel, records: Iterable[Record]) -> TrainRows:
        """The rows of `records`."""
        records = list(records)
        documents = frozenset(k for k, record in enumerate(records) if record.kind == "document")
        return cls(lm.template.encode_all(records), documents)

    def logits(self, module: Any, part: Sequence[int], batch: Batch) -> Tensor:
        """Logits [B, A, V] of rows `part`, which `batch` holds, from stored states if there are some."""
        if self.share:
            return answer_forward_shared(module, batch, self.cache, part).logits
        with self.cache.context(part, batch) if self.cache else nullcontext():
            return answer_forward(module, batch).logits

    def matches(self, part: Sequence[int], logits: Tensor, batch: Batch) -> float:
        """Rows of `batch` whose every answer token has the highest logit; a document counts with its share of them."""
        hits = (logits.argmax(-1) == batch.labels) | ~batch.mask
        documents = [n for n, k in enumerate(part) if k in self.documents]
        whole = hits.all(-1)
        if not documents:
            return int(whole.sum())
        mask = batch.mask[documents]
        shares = (hits[documents] & mask).sum(-1) / mask.sum(-1)
        whole[documents] = False
        return int(whole.sum()) + float(shares.double().sum())

    @torch.no_grad()
    def accuracy(self, module: Any, rows: int = 256) -> float:
        """Mean over all rows of `matches`, measured under teacher forcing, which for whole answers is the same as
        greedy decoding."""
        device = next(module.parameters()).device
        total: float = 0
        vocabulary = int(module.get_output_embeddings().weight.shape[0])
        sizes = [(item.length, len(item.answer)) for item in self.items]
        for part in Budget(rows, tokens=1 << 30).parts(sizes, vocabulary):
            batch = collate([self.items[k] for k in part]).to(device)
            total += self.matches(part, self.logits(module, part, batch), batch)
        return total / max(len(self.items), 1)

    def close(self) -> None:
        """Free stored states."""
        for store in (self.cache, self.own_text):
            if store:
                store.close()


def exact_match_rate(module: Any, items: Sequence[Encoded], rows: int = 256) -> float:
    """Share of `items` that greedy decoding reproduces, measured under teacher forcing, which is the same."""
    return TrainRows(items).accuracy(module, rows)


@torch.no_grad()
def exact_answers(module: Any, items: Sequence[Encoded], rows: int = 64) -> list[bool]:
    """For each item whether greedy decoding reproduces it, as `exact_match_rate` finds it."""
    device, exact = next(module.parameters()).device, [False] * len(items)
    vocabulary = int(module.get_output_embeddings().weight.shape[0])
    for part in Budget(rows, tokens=1 << 30).parts([(item.length, len(item.answer)) for item in items], vocabulary):
        batch = collate([items[k] for k in part]).to(device)
        hits = (answer_forward(module, batch).logits.argmax(-1) == batch.labels) | ~batch.mask
        for k, hit in zip(part, hits.all(-1).tolist(), strict=True):
            exact[k] = hit
    return exact


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
    records: Iterable[Record] | TrainRows,
    config: TrainConfig = TrainConfig(),
    after_epoch: Callable[[TrainCheckpoint], None] | None = None,
    state: Mapping[str, Any] | None = None,
    after_step: Callable[[TrainCheckpoint], None] | None = None,
) -> TrainProgress:
    """Train the weights that require gradients, in place, until the target accuracy or the last epoch.

    There is no dropout.

    Args:
        lm: the model.
        records: what to learn.
        config: settings.
        after_epoch: called after each epoch; may raise to stop.
        state: a checkpoint to resume from, to the same bits.
        after_step: called after each step; may raise to stop.

    Returns:
        The last progress; its accuracy may be below the target.

    Raises:
        InputError: there are no records.
        RunFailed: the loss is no longer finite.
    """
    rows = records if isinstance(records, TrainRows) else TrainRows.of(lm, records)
    items = rows.items
    if not items:
        raise InputError("corpus", "there are no records to train on")
    if config.precision == "bfloat16":
        warn_if_emulated(torch.bfloat16, lm.device.type, "set precision: float32")
    module = lm.module.eval()
    parameters = trainable(module)
    optimizers = OptimizerGroup(config.optimizer, parameters, embeddings(module))
    per_epoch = -(-len(items) // config.batch)
    total_steps = config.epochs * per_epoch
    step, progress = 0, TrainProgress(0, config.epochs, 0.0, math.nan, 0.0, 0, total_steps)
    loss, matches = 0.0, 0.0
    if state:
        with fitting("checkpoint"):
            if set(state["parameters"]) != set(parameters):
                raise ValueError("it holds other parameters than those that train")
            with torch.no_grad():
                for name, value in state["parameters"].items():
                    parameters[name].copy_(value)
            optimizers.restore(state["optimizer"])
            step, progress = state["step"], TrainProgress(**state["progress"])
            loss, matches = state.get("sums", (0.0, 0.0))
    started = time.perf_counter() - progress.seconds
    while progress.epoch < config.epochs and progress.accuracy < config.target_accuracy:
        epoch = progress.epoch + 1
        batches = epoch_batches(items, config.batch, config.seed, epoch - 1)
        seen = sum(map(len, batches[: step - (epoch - 1) * per_epoch]))
        for part in batches[step - (epoch - 1) * per_epoch :]:
            factor = lr_factor(config.optimizer.schedule, config.optimizer.warmup, step, total_steps)
            batch_loss, batch_matches = _step(lm, rows, part, config, optimizers, factor, step)
            if not math.isfinite(batch_loss):
                raise RunFailed(f"epoch {epoch}", "the loss is no longer finite", "lower the learning rate")
            step += 1
            seen += len(part)
            loss += batch_loss * len(part) / len(items)
            matches += batch_matches
            if after_step:
                now = replace(progress, loss=loss * len(items) / seen, step=step, seconds=time.perf_counter() - started)
                after_step(TrainCheckpoint(module, now, optimizers, step, (loss, matches)))
        accuracy = matches / len(items)
        if accuracy >= config.target_accuracy - NEAR_TARGET or epoch == config.epochs:
            accuracy = rows.accuracy(module)
        seconds = time.perf_counter() - started
        progress = TrainProgress(epoch, config.epochs, accuracy, loss, seconds, step, total_steps)
        loss, matches = 0.0, 0.0
        if after_epoch:
            after_epoch(TrainCheckpoint(module, progress, optimizers, step))
    return progress


def _step(
    lm: LanguageModel,
    rows: TrainRows,
    part: Sequence[int],
    config: TrainConfig,
    optimizers: OptimizerGroup,
    factor: float,
    step: int,
) -> tuple[float, float]:
    """One optimizer step on rows `part`: (loss before it, `matches` before it)."""
    batch = collate([rows.items[k] for k in part]).to(lm.device)
    half = config.precision == "bfloat16"
    with torch.autocast(lm.device.type, torch.bfloat16, enabled=half):
        logits = rows.logits(lm.module, part, batch)
    loss = torch.nn.functional.cross_entropy(logits[batch.mask], batch.labels[batch.mask])
    optimizers.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    if rows.own_text:
        with torch.autocast(lm.device.type, torch.bfloat16, enabled=half):
            penalty = rows.own_text.penalty(lm.module, step)
        penalty.backward()  # type: ignore[no-untyped-call]
    if config.optimizer.clip_norm:
        torch.nn.utils.clip_grad_norm_(lm.module.parameters(), config.optimizer.clip_norm)
    optimizers.step(factor)
    return float(loss.detach()), rows.matches(part, logits.detach(), batch)
