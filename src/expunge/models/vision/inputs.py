"""What a model is given of a picture: tensors beside the token ids. Texts have none.

Surprising: pictures of a batch are not counted by rows. Rows without a picture add nothing, so the tensors of a batch
have one entry per picture, in the order of their rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class ImageInputs:
    """One picture as its model's processor gives it; equal to another by `digest` of the encoded picture.

    inputs  name → tensor with a leading dimension of this one picture (`pixel_values` and what goes with it)
    token_types   (token id, names): inputs by these names tell a model which tokens hold a picture's place
    """

    digest: str
    inputs: Mapping[str, Tensor] = field(compare=False, repr=False)
    token_types: tuple[int, tuple[str, ...]] = (-1, ())


@dataclass(frozen=True, slots=True)
class ImageBatch:
    """The pictures of a batch: `inputs` for the model, and of each picture its digest and its row, in their order."""

    inputs: Mapping[str, Tensor] = field(default_factory=dict)
    digests: tuple[str, ...] = ()
    rows: tuple[int, ...] = ()
    token_types: tuple[int, tuple[str, ...]] = (-1, ())

    def given(self, ids: Tensor) -> dict[str, Tensor]:
        """Inputs of a pass over the token ids [B, T]."""
        token, names = self.token_types
        return {**self.inputs, **{name: (ids == token).long() for name in names}}

    @classmethod
    def of(cls, images: Sequence[ImageInputs | None]) -> ImageBatch:
        """Those of rows with these images; smaller tensors are filled up with zeros behind, as processors do."""
        there = [s for s in images if s is not None]
        if not there:
            return NO_IMAGES
        return cls(
            {name: _joined([s.inputs[name] for s in there]) for name in there[0].inputs},
            tuple(s.digest for s in there),
            tuple(k for k, s in enumerate(images) if s is not None),
            there[0].token_types,
        )

    def to(self, device: torch.device | str) -> ImageBatch:
        return replace(self, inputs={n: t.to(device) for n, t in self.inputs.items()}) if self.inputs else self

    def of_row(self, row: int) -> ImageBatch:
        """The picture of one row alone; `RuntimeError` for a model whose tensors are not one per picture."""
        if row not in self.rows:
            return NO_IMAGES
        if any(len(t) != len(self.rows) for t in self.inputs.values()):
            raise RuntimeError("the tensors of this batch cannot be told apart by picture")
        k = self.rows.index(row)
        return ImageBatch(
            {name: t[k : k + 1] for name, t in self.inputs.items()}, (self.digests[k],), (0,), self.token_types
        )


NO_IMAGES = ImageBatch()


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    """All along the first dimension, each [1 or more, …], the others brought to the largest size."""
    sizes = [max(t.shape[d] for t in tensors) for d in range(1, tensors[0].dim())]
    if any(list(t.shape[1:]) != sizes for t in tensors):
        tensors = [_filled(t, sizes) for t in tensors]
    return torch.cat(list(tensors))


def _filled(tensor: Tensor, sizes: Sequence[int]) -> Tensor:
    out = tensor.new_zeros((tensor.shape[0], *sizes))
    out[tuple(slice(0, n) for n in tensor.shape)] = tensor
    return out
