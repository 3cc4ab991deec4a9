"""What else can be shown in place of a record's picture: other pictures of the corpus, parts of it, noise on it.

Pillow is loaded only where a picture has to be changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from expunge.corpus import Record, RecordImage
from expunge.corpus.image_ops import open_image, to_png
from expunge.random import uniform

KEPT = 0.7  # of width and height, when cropped
NOISE = 40.0  # standard deviation of noise, of 255 grey levels


def shown_instead(record: Record, shown: Sequence[Record], seed: int) -> Mapping[str, RecordImage | None]:
    """Name of the vector → picture, for a record that shows one; without those that the corpus does not hold.

    shown  records with pictures, among which other studies and other subjects are found
    """
    own = record.image
    if own is None:
        return {}
    found: dict[str, RecordImage | None] = {
        "picture: none": None,
        "picture: cropped": cropped(own),
        "picture: noised": noised(own, seed),
    }
    others = sorted(
        (r for r in shown if r.image and r.image.digest != own.digest),
        key=lambda r: uniform(f"picture:{seed}:{record.id}", r.id),
    )
    ours = next((r.image for r in others if r.subject == record.subject), None)
    theirs = next((r.image for r in others if r.subject != record.subject), None)
    if ours:
        found["picture: other study"] = ours
    if theirs:
        found["picture: other subject"] = theirs
    return found


def cropped(picture: RecordImage, kept: float = KEPT) -> RecordImage:
    """The middle of a picture, `kept` of its width and height."""
    image = open_image(picture)
    width, height = (max(1, round(kept * side)) for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return to_png(image.crop((left, top, left + width, top + height)), f"{picture.name}.cropped.png")


def noised(picture: RecordImage, seed: int, deviation: float = NOISE) -> RecordImage:
    """The picture with normal noise on every value, the same for the same picture and seed."""
    from PIL import Image

    pixels = np.asarray(open_image(picture), dtype=np.float64)
    rng = np.random.default_rng([seed, int(picture.digest[:8], 16)])
    noisy = np.clip(pixels + rng.normal(0, deviation, pixels.shape), 0, 255).round().astype(np.uint8)
    return to_png(Image.fromarray(noisy), f"{picture.name}.noised-{seed}.png")
