"""Batches: right-padded ids, and where the answer stands in them.

The mask is built from lengths, never from `id != pad`: a prompt may contain the padding id.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from expunge.models.prompt_template import Encoded
from expunge.models.vision.inputs import NO_IMAGES, ImageBatch

TENSORS = ("input_ids", "attention_mask", "index", "labels", "mask")


@dataclass(frozen=True)
class Batch:
    """`B` sequences of at most `T` tokens with answers of at most `A` tokens.

    index    position whose output predicts answer token a, 0 where padded
    labels   answer token ids, 0 where padded; `mask` says which count
    images   the pictures of its prompts
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
        """The rows `at` of a batch that was passed already: without their pictures."""
        return Batch(**{f: getattr(self, f)[at] for f in TENSORS})

    @property
    def inputs(self) -> dict[str, Tensor]:
        """What a model is called with."""
        return {"input_ids": self.input_ids, "attention_mask": self.attention_mask, **self.images.given(self.input_ids)}

    def __len__(self) -> int:
        return self.input_ids.shape[0]


def collate(items: Sequence[Encoded], pad: int = 0) -> Batch:
    """Pad `items` to the right; `pad` is any valid token id, it is never attended to nor counted."""
    rows, longest = len(items), max(i.length for i in items)
    answers = max(len(i.answer) for i in items)
    input_ids = torch.full((rows, longest), pad)
    attention = torch.zeros((rows, longest), dtype=torch.int64)
    index = torch.zeros((rows, answers), dtype=torch.int64)
    labels = torch.zeros((rows, answers), dtype=torch.int64)
    mask = torch.zeros((rows, answers), dtype=torch.bool)
    for b, item in enumerate(items):
        p, a = len(item.prompt), len(item.answer)
        input_ids[b, : p + a] = torch.tensor(item.prompt + item.answer)
        attention[b, : p + a] = 1
        index[b, :a] = torch.arange(p - 1, p + a - 1)
        labels[b, :a] = torch.tensor(item.answer)
        mask[b, :a] = True
    return Batch(input_ids, attention, index, labels, mask, ImageBatch.of([i.image for i in items]))


def by_length(items: Sequence[Encoded], rows: int) -> Iterator[list[int]]:
    """Positions of `items` in batches of at most `rows`, longest first, so that little is padded."""
    order = sorted(range(len(items)), key=lambda k: (-items[k].length, k))
    for start in range(0, len(order), rows):
        yield order[start : start + rows]


def chunks(lengths: Sequence[int], most: int | None = None, fixed: int = 192) -> list[list[int]]:
    """Cut a batch into forward passes of similar length, so that short rows are not padded to the longest.

    lengths  tokens per row
    most     most rows in a pass; None for no limit
    fixed    what one more pass costs, in tokens: a cut must save more padding than that
    Returns positions of rows, every one once; the cheapest cuts, by dynamic programming over rows sorted by length.
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
