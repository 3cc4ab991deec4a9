"""Pictures decoded with Pillow, and surrogate pictures of people who do not exist.

A surrogate picture is a blend of two pictures of the retain set, one of them perhaps mirrored, both shifted a little:
it looks like its kind and shows no one. Noise or a grey field would mark the input as odd instead of the person as new.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from expunge.corpus.image import RecordImage
from expunge.errors import InputError, install_hint

if TYPE_CHECKING:
    from PIL import Image

MAX_SHIFT = 0.06  # of a side
SHARE = (0.35, 0.65)  # of the first of two pictures


def open_image(picture: RecordImage) -> Image.Image:
    """The picture, decoded, in RGB; `InputError` if it cannot be decoded, or Pillow is not installed."""
    try:
        from PIL import Image
    except ImportError as error:
        raise InputError("pictures", "the package Pillow is not installed", install_hint("vision")) from error
    try:
        with Image.open(io.BytesIO(picture.data())) as image:
            return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        where = f'picture "{picture.name}"'
        raise InputError(where, f"could not be decoded ({error})", "save it again as PNG or JPEG") from error


def to_png(image: Image.Image, name: str) -> RecordImage:
    """A picture without a file: its PNG in memory."""
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return RecordImage.of(name, stream.getvalue())


def surrogate_image(pictures: Sequence[RecordImage], rng: np.random.Generator) -> RecordImage:
    """A picture mixed from two of `pictures` (from one if there is no other), of the size of the first."""
    from PIL import Image, ImageOps

    first, second = (pictures[int(k)] for k in rng.choice(len(pictures), 2, replace=len(pictures) < 2))
    images = [_shift(open_image(p), rng) for p in (first, second)]
    if rng.random() < 0.5:
        images[1] = ImageOps.mirror(images[1])
    mixed = Image.blend(images[1].resize(images[0].size), images[0], float(rng.uniform(*SHARE)))
    return to_png(mixed, "images/stranger.png")


def _shift(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """`image` shifted by a few pixels; pixels from outside repeat its border."""
    from PIL import Image

    pixels = np.asarray(image)
    down, right = (round(float(rng.uniform(-MAX_SHIFT, MAX_SHIFT)) * side) for side in pixels.shape[:2])
    rows = np.clip(np.arange(pixels.shape[0]) + down, 0, pixels.shape[0] - 1)
    columns = np.clip(np.arange(pixels.shape[1]) + right, 0, pixels.shape[1] - 1)
    return Image.fromarray(pixels[rows][:, columns])
