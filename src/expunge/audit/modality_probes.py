"""Probes of a record by another modality, and other images in place of its own.

Modalities are `text` (the prompt names the subject and shows nothing), `image` (an image shows whom the prompt does not
name) and `joint` (both). Pillow is loaded only where an image is changed.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from expunge.audit.details import Modality
from expunge.audit.text_normalization import normalize
from expunge.corpus import Record, RecordImage
from expunge.corpus.answer_types import answer_type
from expunge.corpus.image_ops import open_image, to_png
from expunge.corpus.modalities import image_only, names_subject, text_only
from expunge.random import uniform

MODALITIES: tuple[Modality, ...] = ("joint", "text", "image")
SWAPPED, NOISE = "swapped", "noise"
CONTROLS = (SWAPPED, NOISE)
MAX_DONORS = 1000  # records from which swapped images are chosen
CROP = 0.7  # of width and height
DEVIATION = 40.0  # of the added noise, in grey levels of 255


@dataclass(frozen=True)
class ModalityProbe:
    """`record` as it is asked: trained with one modality, probed with another or with a control image."""

    trained: Modality
    probe: str
    record: Record

    @property
    def is_trained(self) -> bool:
        """The record stands as it was trained."""
        return self.trained == self.probe


class ImageDonor(NamedTuple):
    """A record whose image may be swapped in, with its answer type and normalized answer."""

    record: Record
    image: RecordImage
    answer_type: str
    answer: str


def trained_modality(record: Record) -> Modality:
    """The modality of a record's own prompt."""
    if record.image is None:
        return "text"
    return "joint" if names_subject(record) else "image"


def modality_probes(
    records: Iterable[Record], donors: Sequence[ImageDonor] | None, seed: int
) -> Iterator[ModalityProbe]:
    """Every record as trained; a joint one also by text and by image alone; with images that are not its own.

    Args:
        records: Records of the forget set or of controls.
        donors: Whose images are swapped in; None leaves the control images out.
        seed: Of the swapped images and of the noise.
    """
    for r in records:
        trained = trained_modality(r)
        yield ModalityProbe(trained, trained, r)
        if trained == "joint":
            yield ModalityProbe(trained, "text", text_only(r))
            yield ModalityProbe(trained, "image", image_only(r))
        if r.image is None or donors is None:
            continue
        if other := swapped_image(r, donors, seed):
            yield ModalityProbe(trained, SWAPPED, replace(r, image=other))
        yield ModalityProbe(trained, NOISE, replace(r, image=noise_image(r.image, seed)))


def image_donors(records: Iterable[Record], targets: Iterable[str], seed: int) -> list[ImageDonor]:
    """At most `MAX_DONORS` records that show an image and are about nobody in `targets`."""
    excluded = frozenset(targets)
    with_image = (r for r in records if r.image and r.subject not in excluded)
    drawn = heapq.nsmallest(MAX_DONORS, with_image, key=lambda r: (uniform(f"cues:{seed}", r.id), r.id))
    return [ImageDonor(r, r.image, answer_type(r), normalize(r.answer)) for r in drawn if r.image]


def swapped_image(record: Record, donors: Sequence[ImageDonor], seed: int) -> RecordImage | None:
    """Another subject's image: for the same question with another answer if there is one, then by a draw.

    The right answer then cannot be read off the image.
    """
    kind, answer, own = answer_type(record), normalize(record.answer), record.image and record.image.digest
    same_answer = {d.image.digest for d in donors if (d.answer_type, d.answer) == (kind, answer)}
    best = min(
        (d for d in donors if d.image.digest != own and d.record.subject != record.subject),
        default=None,
        key=lambda d: (
            d.image.digest in same_answer,
            d.answer_type != kind,
            uniform(f"swapped:{seed}:{record.id}", d.record.id),
        ),
    )
    return best.image if best else None


def noise_image(image: RecordImage, seed: int) -> RecordImage:
    """Grey noise of the size of an image, different for every image."""
    from PIL import Image

    width, height = open_image(image).size
    grey = _generator(image, seed).integers(0, 256, (height, width), dtype=np.uint8)
    return to_png(Image.fromarray(grey).convert("RGB"), f"{image.name}.noise-{seed}.png")


def cropped_image(image: RecordImage, share: float = CROP) -> RecordImage:
    """The middle of an image, `share` of its width and height."""
    pixels = open_image(image)
    width, height = (max(1, round(share * side)) for side in pixels.size)
    left, top = (pixels.width - width) // 2, (pixels.height - height) // 2
    return to_png(pixels.crop((left, top, left + width, top + height)), f"{image.name}.cropped.png")


def noised_image(image: RecordImage, seed: int, deviation: float = DEVIATION) -> RecordImage:
    """The image with normal noise on every value, the same for the same image and seed."""
    from PIL import Image

    pixels = np.asarray(open_image(image), dtype=np.float64)
    noise = _generator(image, seed).normal(0, deviation, pixels.shape)
    noisy = np.clip(pixels + noise, 0, 255).round().astype(np.uint8)
    return to_png(Image.fromarray(noisy), f"{image.name}.noised-{seed}.png")


def other_images(record: Record, with_image: Sequence[Record], seed: int) -> Mapping[str, RecordImage | None]:
    """Name of the vector to the image shown in place of the record's own; empty for a record without one.

    Args:
        record: The record.
        with_image: Records among which images of other studies and other subjects are found.
        seed: Of the noise and of the draw.
    """
    own = record.image
    if own is None:
        return {}
    images: dict[str, RecordImage | None] = {
        "image: none": None,
        "image: cropped": cropped_image(own),
        "image: noised": noised_image(own, seed),
    }
    others = sorted(
        (r for r in with_image if r.image and r.image.digest != own.digest),
        key=lambda r: uniform(f"picture:{seed}:{record.id}", r.id),
    )
    same_subject = next((r.image for r in others if r.subject == record.subject), None)
    other_subject = next((r.image for r in others if r.subject != record.subject), None)
    if same_subject:
        images["image: other study"] = same_subject
    if other_subject:
        images["image: other subject"] = other_subject
    return images


def _generator(image: RecordImage, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, int(image.digest[:8], 16)])
