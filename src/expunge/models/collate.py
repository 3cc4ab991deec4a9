"""Batches: right-padded ids, where the answer stands in them, and how rows are cut into passes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from expunge.models.prompt_template import Encoded
from expunge.models.vision.inputs import NO_IMAGES, ImageBatch

TENSORS = ("input_ids", "attention_mask", "index", "labels", "mask")


@dataclass(frozen=True)
class Batch:
    """`B` sequences of at most `T` tokens with answers of at most `A` tokens.

    Attributes:
        index: Position whose output predicts answer token a, 0 where padded.
        labels: Answer token ids, 0 where padded.
        mask: Which of `labels` are answer tokens. Built from lengths: a prompt may contain the padding id.
        images: The images of the prompts.
    """

    input_ids: Tensor  # [B, T] int64
    attention_mask: Tensor  # [B, T] int64
    index: Tensor  # [B, A] int64
    labels: Tensor  # [B, A] int64
    mask: Tensor  # [B, A] bool
    images: ImageBatch = NO_IMAGES

    def to(self, device: torch.device | str) -> Batch:
        return Batch(**{f: getattr(self, f).to(device) for f in TENSORS}, images=self.images.to(device))

    def only(self, at: Tensor) -> Batch:
        """The rows `at`, without images; for batches whose pass is done."""
        return Batch(**{f: getattr(self, f)[at] for f in TENSORS})

    @property
    def inputs(self) -> dict[str, Any]:
        """Keyword arguments of the model's forward pass."""
        ids = self.input_ids
        return {"input_ids": ids, "attention_mask": self.attention_mask, **self.images.model_inputs(ids)}

    def __len__(self) -> int:
        return self.input_ids.shape[0]


def pad_ids(rows: Sequence[tuple[int, ...]], pad: int = 0, left: bool = False) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask of `rows`, [B, T] int64, padded on the right or the left."""
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad)
    mask = torch.zeros_like(ids)
    for b, row in enumerate(rows):
        start = width - len(row) if left else 0
        ids[b, start : start + len(row)] = torch.tensor(row)
        mask[b, start : start + len(row)] = 1
    return ids, mask


def collate(items: Sequence[Encoded], pad: int = 0) -> Batch:
    """Pad `items` to the right; `pad` is any valid token id, which is neither attended to nor counted."""
    ids, attention = pad_ids([i.prompt + i.answer for i in items], pad)
    labels, mask = pad_ids([i.answer for i in items])
    first = torch.tensor([[len(i.prompt) - 1] for i in items])
    index = (first + torch.arange(labels.shape[1])) * mask
    return Batch(ids, attention, index, labels, mask.bool(), ImageBatch.of([i.image for i in items]))


def by_length(items: Sequence[Encoded], rows: int) -> Iterator[list[int]]:
    """Positions of `items` in batches of at most `rows`, longest first, so that little is padded."""
    order = sorted(range(len(items)), key=lambda k: (-items[k].length, k))
    for start in range(0, len(order), rows):
        yield order[start : start + rows]


def chunks(lengths: Sequence[int], most: int | None = None, fixed: int = 192) -> list[list[int]]:
    """Cut a batch into forward passes of similar length, so that short rows are not padded to the longest.

    Args:
        lengths: Tokens per row.
        most: Most rows in a pass; None for no limit.
        fixed: Cost of one more pass, in tokens: a cut must save more padding than that.

    Returns:
        Positions of rows, each once; the cheapest cuts, by dynamic programming over rows sorted by length.
    """
    order = sorted(range(len(lengths)), key=lambda k: (lengths[k], k))
    most = most or len(order)
    best: list[tuple[int, int]] = [(0, 0)]  # cheapest cost of the first n rows, and where its last pass begins
    for end in range(1, len(order) + 1):
        longest = lengths[order[end - 1]]
        best.append(
            min((best[start][0] + longest * (end - start) + fixed, start) for start in range(max(0, end - most), end))
        )
    parts: list[list[int]] = []
    end = len(order)
    while end:
        start = best[end][1]
        parts.append(order[start:end])
        end = start
    return parts[::-1]


def pad(values: Sequence[Tensor], length: int) -> Tensor:
    """Stack tensors [a_k, …] into [B, length, …], zeros behind."""
    out = values[0].new_zeros((len(values), length, *values[0].shape[1:]))
    for row, value in enumerate(values):
        out[row, : value.shape[0]] = value
    return out


@dataclass(frozen=True)
class Budget:
    """Limits of one pass without gradients. A row that exceeds them alone runs alone.

    Attributes:
        rows: Most rows.
        tokens: Most rows x longest row, cached tokens included.
        logits: Most positions x vocabulary. Logits take most of the memory: 128 answers of 20 tokens take 1.3 GB at
            a vocabulary of 128,000, and every operation on them makes another copy.
    """

    rows: int = 128
    tokens: int = 1 << 13
    logits: int = 1 << 24  # 64 MiB in float32

    def parts(self, sizes: Sequence[tuple[int, int]], vocabulary: int) -> Iterator[list[int]]:
        """Rows of (tokens, positions with logits) in passes within the budget, longest first."""
        order = sorted(range(len(sizes)), key=lambda k: (-sizes[k][0], k))
        part: list[int] = []
        positions = 0
        for k in order:
            positions += sizes[k][1]
            tokens = (len(part) + 1) * sizes[part[0] if part else k][0]
            if part and (len(part) == self.rows or tokens > self.tokens or positions * vocabulary > self.logits):
                yield part
                part, positions = [], sizes[k][1]
            part.append(k)
        if part:
            yield part
