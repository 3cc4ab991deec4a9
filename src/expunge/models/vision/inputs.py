"""The tensors that a model gets for images, beside the token ids.

The tensors of a batch have one entry per image, in the order of their rows; rows without an image add nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class ImageInputs:
    """One image as the model's processor prepares it.

    Attributes:
        digest: Of the encoded image; equal digests mean equal images.
        inputs: Name → tensor with a leading dimension of 1 (`pixel_values` and what goes with it).
        token_types: (image token id, names): forward arguments that mark which tokens belong to an image.
    """

    digest: str
    inputs: Mapping[str, Tensor] = field(compare=False, repr=False)
    token_types: tuple[int, tuple[str, ...]] = (-1, ())


@dataclass(frozen=True, slots=True)
class ImageBatch:
    """The images of a batch: `inputs` for the model, and the digest and the row of each image, in their order."""

    inputs: Mapping[str, Tensor] = field(default_factory=dict)
    digests: tuple[str, ...] = ()
    rows: tuple[int, ...] = ()
    token_types: tuple[int, tuple[str, ...]] = (-1, ())

    def model_inputs(self, ids: Tensor) -> dict[str, Tensor]:
        """Keyword arguments of a pass over the token ids [B, T]."""
        token, names = self.token_types
        return {**self.inputs, **{name: (ids == token).long() for name in names}}

    @classmethod
    def of(cls, images: Sequence[ImageInputs | None]) -> ImageBatch:
        """The batch of rows with these images; smaller tensors are padded with zeros, as processors do."""
        present = [image for image in images if image is not None]
        if not present:
            return NO_IMAGES
        return cls(
            {name: _join([image.inputs[name] for image in present]) for name in present[0].inputs},
            tuple(image.digest for image in present),
            tuple(k for k, image in enumerate(images) if image is not None),
            present[0].token_types,
        )

    def to(self, device: torch.device | str) -> ImageBatch:
        return replace(self, inputs={n: t.to(device) for n, t in self.inputs.items()}) if self.inputs else self

    def of_row(self, row: int) -> ImageBatch:
        """The image of one row; `RuntimeError` for a model whose tensors are not one per image."""
        if row not in self.rows:
            return NO_IMAGES
        if any(len(t) != len(self.rows) for t in self.inputs.values()):
            raise RuntimeError("the tensors of this batch cannot be told apart by image")
        k = self.rows.index(row)
        inputs = {name: t[k : k + 1] for name, t in self.inputs.items()}
        return ImageBatch(inputs, (self.digests[k],), (0,), self.token_types)


NO_IMAGES = ImageBatch()


def _join(tensors: Sequence[Tensor]) -> Tensor:
    """Concatenated along the first dimension, the other dimensions padded to the largest size."""
    sizes = [max(t.shape[d] for t in tensors) for d in range(1, tensors[0].dim())]
    if any(list(t.shape[1:]) != sizes for t in tensors):
        tensors = [_pad(t, sizes) for t in tensors]
    return torch.cat(list(tensors))


def _pad(tensor: Tensor, sizes: Sequence[int]) -> Tensor:
    out = tensor.new_zeros((tensor.shape[0], *sizes))
    out[tuple(slice(0, n) for n in tensor.shape)] = tensor
    return out
