"""Pictures opened with Pillow, and pictures that nobody has: what a stranger would show.

Surprising: a stranger's picture is mixed from two that stay, one of them perhaps mirrored, both a little moved. It
looks like its kind and is no one's; noise or a grey field would tell a model that something is odd rather than that
somebody is new.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from expunge.corpus.image import RecordImage
from expunge.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

MOVED = 0.06  # of a side, at most
SHARE = (0.35, 0.65)  # of the first of two pictures


def opened(picture: RecordImage) -> Image.Image:
    """The picture, decoded, in RGB; `InputError` where it is none, or Pillow is not there."""
    try:
        from PIL import Image
    except ImportError as error:
        raise InputError("pictures", "the package Pillow is not installed", "pip install 'expunge[vision]'") from error
    try:
        with Image.open(io.BytesIO(picture.data())) as image:
            return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(
            f'picture "{picture.name}"', f"could not be decoded ({error})", "save it again as PNG or JPEG"
        ) from error


def encoded(image: Image.Image, name: str) -> RecordImage:
    """A picture that lies nowhere: its PNG is held in memory."""
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return RecordImage.of(name, stream.getvalue())


def stranger(pictures: Sequence[RecordImage], rng: np.random.Generator) -> RecordImage:
    """A picture mixed from two of `pictures` (from one if there is no other), of the size of the first."""
    from PIL import Image, ImageOps

    first, second = (pictures[int(k)] for k in rng.choice(len(pictures), 2, replace=len(pictures) < 2))
    images = [_moved(opened(p), rng) for p in (first, second)]
    if rng.random() < 0.5:
        images[1] = ImageOps.mirror(images[1])
    mixed = Image.blend(images[1].resize(images[0].size), images[0], float(rng.uniform(*SHARE)))
    return encoded(mixed, "images/stranger.png")


def _moved(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """`image` shifted by a few pixels; what comes in from outside repeats its border."""
    from PIL import Image

    pixels = np.asarray(image)
    down, right = (round(float(rng.uniform(-MOVED, MOVED)) * side) for side in pixels.shape[:2])
    rows = np.clip(np.arange(pixels.shape[0]) + down, 0, pixels.shape[0] - 1)
    columns = np.clip(np.arange(pixels.shape[1]) + right, 0, pixels.shape[1] - 1)
    return Image.fromarray(pixels[rows][:, columns])
