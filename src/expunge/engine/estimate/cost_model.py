"""What a run costs, by counting: operations per pass, bytes per tensor. Pure arithmetic, no model runs.

A multiplication with the addition that follows counts as 2 operations. Embeddings cost nothing, and the head is counted
at answer positions only, so operations per token do not follow from the number of parameters alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import nn

from expunge.errors import InputError
from expunge.models.adapters import block_of, block_stack
from expunge.models.collate import chunks
from expunge.models.prompt_template import Encoded

FLOAT = 4  # bytes per number of a distribution: float32 for any dtype of the model
OPS_PER_LOGIT = 64  # operations that take as long as the softmax of one logit
LIVE_TENSORS = 3  # tensors of the widest kind that a pass holds at once
TEMPORARY_LOGITS = 4  # temporary tensors of the size of the logits, beside those kept for the backward pass


class RowSize(NamedTuple):
    """Tokens of a row: of prompt and answer, and of the answer alone."""

    length: int
    answer: int


def size_of(item: Encoded) -> RowSize:
    """Tokens of an encoded record."""
    return RowSize(item.length, len(item.answer))


@dataclass(frozen=True)
class ModelShape:
    """The dimensions of a model.

    Attributes:
        blocks: parameters of each block, adapters included.
        head: parameters of the output head.
        width: hidden size H.
        widest: largest number of outputs in a block.
        vocabulary: vocabulary size V.
        itemsize: bytes per number of a hidden state.
        weights: bytes of all parameters.
    """

    blocks: tuple[int, ...]
    head: int
    width: int
    widest: int
    vocabulary: int
    itemsize: int
    weights: int

    @classmethod
    def of(cls, module: Any) -> ModelShape:
        """From the structure. Without a stack of blocks, everything but the embeddings counts as one block."""
        head, table = module.get_output_embeddings().weight, module.get_input_embeddings().weight
        try:
            stack, count = block_stack(module)
        except InputError:
            stack, count = "", 1
        blocks, widest = [0] * count, head.shape[-1]
        for name, parameter in module.named_parameters():
            number = block_of(name, stack) if stack else None if parameter is head or parameter is table else 0
            if number is not None:
                blocks[number] += parameter.numel()
                if parameter.ndim == 2:
                    widest = max(widest, *parameter.shape)
        return cls(
            tuple(blocks),
            head.numel(),
            head.shape[-1],
            widest,
            head.shape[0],
            table.dtype.itemsize,
            sum(p.numel() * p.dtype.itemsize for p in module.parameters()),
        )


@dataclass(frozen=True)
class BatchShape:
    """A padded batch: [rows, longest] tokens, [rows, answers] logits."""

    rows: int
    longest: int
    answers: int

    @classmethod
    def of(cls, sizes: Sequence[RowSize]) -> BatchShape:
        return cls(len(sizes), max(s.length for s in sizes), max(s.answer for s in sizes))

    @property
    def tokens(self) -> int:
        return self.rows * self.longest

    @property
    def positions(self) -> int:
        return self.rows * self.answers


def in_batches(sizes: Iterable[RowSize], rows: int) -> list[BatchShape]:
    """Batches of at most `rows` rows, longest first."""
    order = sorted(sizes, key=lambda s: -s.length)
    return [BatchShape.of(order[k : k + rows]) for k in range(0, len(order), rows)]


def in_chunks(sizes: Sequence[RowSize], micro: int | None) -> list[BatchShape]:
    """The micro-batches of one batch; see `models.collate.chunks`."""
    return [BatchShape.of([sizes[k] for k in part]) for part in chunks([s.length for s in sizes], micro)]


def block_ops(shape: ModelShape, one: BatchShape, first: int = 0, stop: int | None = None) -> int:
    """Operations of the blocks `first` … `stop - 1` forward: 2 per parameter and token, and attention.

    Attention costs two products of width H with `longest` tokens: 4 · longest · H per token and block.
    """
    chosen = shape.blocks[first:stop]
    return one.tokens * (2 * sum(chosen) + 4 * one.longest * shape.width * len(chosen))


def head_ops(shape: ModelShape, one: BatchShape) -> int:
    """Operations of the logits at answer positions, forward."""
    return one.positions * (2 * shape.head + OPS_PER_LOGIT * shape.vocabulary)


@dataclass(frozen=True)
class Flops:
    """Number of passes, each with a fixed cost, and their operations."""

    passes: int = 0
    ops: int = 0

    def __add__(self, other: Flops) -> Flops:
        return Flops(self.passes + other.passes, self.ops + other.ops)


def inference_cost(shape: ModelShape, passes: Iterable[BatchShape]) -> Flops:
    """Passes without gradients through the whole model."""
    batches = list(passes)
    return Flops(len(batches), sum(block_ops(shape, p) + head_ops(shape, p) for p in batches))


def prefix_cost(shape: ModelShape, passes: Iterable[BatchShape], first: int) -> Flops:
    """Passes through the blocks below `first` only."""
    batches = list(passes)
    return Flops(len(batches), sum(block_ops(shape, p, 0, first) for p in batches))


def generation_cost(shape: ModelShape, sizes: Sequence[RowSize], new: int, rows: int = 64) -> Flops:
    """Greedy answers of `new` tokens: one pass over the prompts of a batch, then one token of each row at a time."""
    total = Flops()
    for one in in_batches((RowSize(s.length - s.answer, 1) for s in sizes), rows):
        step = BatchShape(one.rows, 1, 1)
        per_token = block_ops(shape, step) + head_ops(shape, step)
        total += Flops(new, block_ops(shape, one) + head_ops(shape, step) + (new - 1) * per_token)
    return total


def training_cost(
    shape: ModelShape,
    passes: Iterable[BatchShape],
    *,
    runs_from: int,
    trains_from: int,
    weights: int,
    recompute: bool = False,
) -> Flops:
    """Passes forward and backward.

    Args:
        shape: the model.
        passes: batches.
        runs_from: first block that runs; those below are cached.
        trains_from: first block with a gradient.
        weights: parameters that train. Their gradients cost 2 operations per token each; the gradients of the hidden
            states cost as much as the forward pass.
        recompute: blocks run again in the backward pass (activation checkpointing).
    """
    ops = count = 0
    for one in passes:
        backward = block_ops(shape, one, trains_from)
        ops += block_ops(shape, one, runs_from) + (2 if recompute else 1) * backward + 2 * head_ops(shape, one)
        ops += 2 * weights * one.tokens
        count += 1
    return Flops(count, ops)


@dataclass(frozen=True)
class ComputeSpeed:
    """Seconds per pass and per operation."""

    fixed: float
    per_op: float

    def seconds(self, work: Flops) -> float:
        return work.passes * self.fixed + work.ops * self.per_op

    @classmethod
    def fit(cls, small: tuple[int, float], large: tuple[int, float]) -> ComputeSpeed:
        """From (operations, seconds) of a small and a large pass; no fixed cost if only one size was timed."""
        (ops, seconds), (large_ops, large_seconds) = small, large
        if large_ops <= ops:
            return cls(0.0, large_seconds / large_ops)
        per_op = max((large_seconds - seconds) / (large_ops - ops), 0.0)
        fixed = min(max(seconds - per_op * ops, 0.0), large_seconds)
        return cls(fixed, (large_seconds - fixed) / large_ops)


def cache_bytes(shape: ModelShape, sizes: Iterable[RowSize]) -> int:
    """Hidden states of every token of every row, unpadded."""
    return sum(s.length for s in sizes) * shape.width * shape.itemsize


def distribution_bytes(shape: ModelShape, sizes: Iterable[RowSize]) -> int:
    """A distribution over the vocabulary at every answer position."""
    return sum(s.answer for s in sizes) * shape.vocabulary * FLOAT


def inference_bytes(shape: ModelShape, one: BatchShape) -> int:
    """Peak of a pass without gradients: in a block, or at the logits."""
    return LIVE_TENSORS * max(one.tokens * shape.widest * shape.itemsize, one.positions * shape.vocabulary * FLOAT)


def activation_bytes(
    shape: ModelShape,
    one: BatchShape,
    *,
    per_block_token: float,
    blocks: int,
    per_logit: float,
    recompute: bool = False,
    positions_at_once: int | None = None,
) -> int:
    """Bytes that a pass keeps for the backward pass, and temporary tensors of the size of the logits.

    Args:
        shape: the model.
        one: the batch.
        per_block_token: bytes kept per token by one of the `blocks` blocks with a gradient.
        blocks: number of these blocks.
        per_logit: bytes kept per logit.
        recompute: blocks keep their input only, and one at a time is computed again.
        positions_at_once: positions whose logits are held at a time, if they are computed in slices; None for all.
    """
    inside = per_block_token * one.tokens
    kept = blocks * one.tokens * shape.width * shape.itemsize + inside if recompute else blocks * inside
    positions = min(one.positions, positions_at_once or one.positions)
    return int(kept + positions * shape.vocabulary * (per_logit + TEMPORARY_LOGITS * FLOAT))


def optimizer_bytes(name: str, parameters: dict[str, nn.Parameter], embeddings: set[int]) -> int:
    """Optimizer state: two numbers per parameter for AdamW, one per entry of a matrix for Muon, none for SGD."""
    if name == "sgd":
        return 0
    single = {id(p) for p in parameters.values() if name == "muon" and p.ndim == 2 and id(p) not in embeddings}
    return sum(p.numel() * p.dtype.itemsize * (1 if id(p) in single else 2) for p in parameters.values())
