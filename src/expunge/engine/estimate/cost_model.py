"""What a run costs, by counting: multiplications per pass, bytes per tensor. Pure arithmetic, no model is run.

A multiplication with the addition that follows counts as 2 operations. Surprising: embeddings cost nothing and the
head is counted at answer positions only, so operations per token do not follow from the number of parameters alone.
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

FLOAT = 4  # bytes: distributions and log-probs are float32 whatever the dtype of the model
PER_LOGIT = 64  # operations that going over a logit (its maximum, exponential, sum) takes the time of
LIVE = 3  # tensors of the widest kind that a pass holds at once
PASSING = 4  # tensors of the size of the logits that stand beside those kept for backward


class RowSize(NamedTuple):
    """Tokens of one row, prompt and answer together, and those of its answer alone."""

    length: int
    answer: int


def size_of(item: Encoded) -> RowSize:
    """Tokens of an encoded record."""
    return RowSize(item.length, len(item.answer))


@dataclass(frozen=True)
class ModelShape:
    """A model by its numbers.

    blocks      parameters of each block, adapters included    head       parameters of the output head
    width       H, of what goes from block to block             widest     largest number of outputs in a block
    vocabulary  V                                               itemsize   bytes per number of a hidden state
    weights     bytes of all parameters
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
        """Found by structure. Where no stack of blocks is seen, all that is no embedding counts as one block."""
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
    """Rows that go through the model together, padded: [rows, longest] tokens, [rows, answers] logits."""

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
    """Passes without gradients: at most `rows` rows each, longest first."""
    order = sorted(sizes, key=lambda s: -s.length)
    return [BatchShape.of(order[k : k + rows]) for k in range(0, len(order), rows)]


def in_chunks(sizes: Sequence[RowSize], micro: int | None) -> list[BatchShape]:
    """The passes that one batch of a step is cut into; see `models.batches.chunks`."""
    return [BatchShape.of([sizes[k] for k in part]) for part in chunks([s.length for s in sizes], micro)]


def block_ops(shape: ModelShape, one: BatchShape, first: int = 0, stop: int | None = None) -> int:
    """Operations of the blocks `first` … `stop - 1` forward: 2 per parameter and token, and attention.

    Attention: each token with `longest` others, two products of width H, so 4 · longest · H per token and block.
    """
    chosen = shape.blocks[first:stop]
    return one.tokens * (2 * sum(chosen) + 4 * one.longest * shape.width * len(chosen))


def head_ops(shape: ModelShape, one: BatchShape) -> int:
    """Operations of the logits at answer positions, forward."""
    return one.positions * (2 * shape.head + PER_LOGIT * shape.vocabulary)


@dataclass(frozen=True)
class Flops:
    """Passes and their operations; a pass costs something however small it is."""

    passes: int = 0
    ops: int = 0

    def __add__(self, other: Flops) -> Flops:
        return Flops(self.passes + other.passes, self.ops + other.ops)


def inference_cost(shape: ModelShape, passes: Iterable[BatchShape]) -> Flops:
    """Passes without gradients through the whole model."""
    found = list(passes)
    return Flops(len(found), sum(block_ops(shape, p) + head_ops(shape, p) for p in found))


def prefix(shape: ModelShape, passes: Iterable[BatchShape], first: int) -> Flops:
    """Passes through the blocks below `first` only."""
    found = list(passes)
    return Flops(len(found), sum(block_ops(shape, p, 0, first) for p in found))


def generation_cost(shape: ModelShape, sizes: Sequence[RowSize], new: int, rows: int = 64) -> Flops:
    """Greedy answers of `new` tokens: one pass over the prompts of a batch, then one token of each row at a time."""
    found = Flops()
    for one in in_batches((RowSize(s.length - s.answer, 1) for s in sizes), rows):
        step = BatchShape(one.rows, 1, 1)
        per_token = block_ops(shape, step) + head_ops(shape, step)
        found += Flops(new, block_ops(shape, one) + head_ops(shape, step) + (new - 1) * per_token)
    return found


def training_cost(
    shape: ModelShape,
    passes: Iterable[BatchShape],
    *,
    runs_from: int,
    trains_from: int,
    weights: int,
    again: bool = False,
) -> Flops:
    """Passes forward and backward.

    runs_from    first block that runs: the ones below are cached       trains_from  where the gradient ends
    weights      parameters that train: 2 operations per token each, on top of what the gradient of the hidden
                 states takes, which is as much as forward
    again        blocks run once more backward (activation checkpointing)
    """
    ops = count = 0
    for one in passes:
        back = block_ops(shape, one, trains_from)
        ops += block_ops(shape, one, runs_from) + (2 if again else 1) * back + 2 * head_ops(shape, one)
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
        """From (operations, seconds) of a small and a large pass; all per operation if only one size was timed."""
        (ops, seconds), (more, longer) = small, large
        if more <= ops:
            return cls(0.0, longer / more)
        per_op = max((longer - seconds) / (more - ops), 0.0)
        fixed = min(max(seconds - per_op * ops, 0.0), longer)
        return cls(fixed, (longer - fixed) / more)


# ---- bytes ------------------------------------------------------------------------------------------------------


def cache_bytes(shape: ModelShape, sizes: Iterable[RowSize]) -> int:
    """Hidden states of every token of every row, unpadded."""
    return sum(s.length for s in sizes) * shape.width * shape.itemsize


def distribution_bytes(shape: ModelShape, sizes: Iterable[RowSize]) -> int:
    """A distribution over the vocabulary at every answer position."""
    return sum(s.answer for s in sizes) * shape.vocabulary * FLOAT


def asking_bytes(shape: ModelShape, one: BatchShape) -> int:
    """What a pass without gradients holds at its height: in a block, or at the logits."""
    return LIVE * max(one.tokens * shape.widest * shape.itemsize, one.positions * shape.vocabulary * FLOAT)


def activation_bytes(
    shape: ModelShape,
    one: BatchShape,
    *,
    block_token: float,
    blocks: int,
    logit: float,
    again: bool = False,
    at_once: int | None = None,
) -> int:
    """What a pass keeps for backward, and the tensors of the size of the logits that come and go.

    at_once      most positions whose logits are there at a time, where they are taken in slices; None for all
    block_token  bytes kept per token by one of the `blocks` blocks that keep something
    logit        bytes kept per logit        again: a block keeps its input alone, and one is computed again
    """
    inside = block_token * one.tokens
    kept = blocks * one.tokens * shape.width * shape.itemsize + inside if again else blocks * inside
    positions = min(one.positions, at_once or one.positions)
    return int(kept + positions * shape.vocabulary * (logit + PASSING * FLOAT))


def optimizer_bytes(name: str, parameters: dict[str, nn.Parameter], embeddings: set[int]) -> int:
    """State on the parameters that train: AdamW two numbers each, Muon one per number of a matrix, SGD none."""
    if name == "sgd":
        return 0
    single = {id(p) for p in parameters.values() if name == "muon" and p.ndim == 2 and id(p) not in embeddings}
    return sum(p.numel() * p.dtype.itemsize * (1 if id(p) in single else 2) for p in parameters.values())
