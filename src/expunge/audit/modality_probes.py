"""By which cues a forgotten fact is asked for: as it was taught, by one of its cues alone, with another picture.

A cell is (cue that it was taught with, cue that it is asked by). Surprising: the swapped picture is one whose subject
gives another answer to the same question wherever there is one, so that a right answer to it was not read off it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from expunge.audit.text_normalization import normalize
from expunge.corpus import Record, RecordImage
from expunge.corpus.answer_types import answer_type
from expunge.corpus.image_ops import open_image, to_png
from expunge.corpus.modalities import image_only, names_subject, text_only
from expunge.random import uniform

BOTH, WORDS, PICTURE = "both", "words", "picture"
CUES = (BOTH, WORDS, PICTURE)
SWAPPED, NOISE = "swapped", "noise"
CONTROLS = (SWAPPED, NOISE)
MOST = 1000  # records from which swapped pictures are chosen


@dataclass(frozen=True)
class Probe:
    """`record`, taught with the cue `taught`, asked by `cue`; `is_taught`: it stands as it was trained."""

    taught: str
    cue: str
    record: Record

    @property
    def is_taught(self) -> bool:
        return self.taught == self.cue


def taught_with(record: Record) -> str:
    """The cue of a record: a picture with a name, a picture alone, or words alone."""
    if record.image is None:
        return WORDS
    return BOTH if names_subject(record) else PICTURE


class Other(NamedTuple):
    """Somebody whose picture may be swapped in, with what their record asks and answers."""

    record: Record
    picture: RecordImage
    asks: str
    answer: str


def probes(records: Iterable[Record], shown: Sequence[Other] | None, seed: int) -> Iterator[Probe]:
    """Every record as it was taught; one of picture and name also by each alone; with pictures not its own.

    shown  whose pictures are swapped in; None: no controls
    """
    for r in records:
        taught = taught_with(r)
        yield Probe(taught, taught, r)
        if taught == BOTH:
            yield Probe(taught, WORDS, text_only(r))
            yield Probe(taught, PICTURE, image_only(r))
        if r.image is None or shown is None:
            continue
        if other := swapped(r, shown, seed):
            yield Probe(taught, SWAPPED, replace(r, id=f"{r.id}~{SWAPPED}", image=other))
        yield Probe(taught, NOISE, replace(r, id=f"{r.id}~{NOISE}", image=noise(r.image, seed)))


def others(records: Iterable[Record], targets: Iterable[str], seed: int) -> list[Other]:
    """At most `MOST` records that show a picture and are about nobody in `targets`."""
    away = frozenset(targets)
    seen = (r for r in records if r.image and r.subject not in away)
    drawn = heapq.nsmallest(MOST, seen, key=lambda r: (uniform(f"cues:{seed}", r.id), r.id))
    return [Other(r, r.image, answer_type(r), normalize(r.answer)) for r in drawn if r.image]


def swapped(record: Record, shown: Sequence[Other], seed: int) -> RecordImage | None:
    """Somebody else's picture: of the same question with another answer if there is one, then by a draw."""
    asks, true, own = answer_type(record), normalize(record.answer), record.image and record.image.digest
    alike = {o.picture.digest for o in shown if (o.asks, o.answer) == (asks, true)}
    fit = [o for o in shown if o.picture.digest != own and o.record.subject != record.subject]
    best = min(
        fit,
        default=None,
        key=lambda o: (o.picture.digest in alike, o.asks != asks, uniform(f"swapped:{seed}:{record.id}", o.record.id)),
    )
    return best.picture if best else None


def noise(picture: RecordImage, seed: int) -> RecordImage:
    """Grey noise of the size of a picture, another one for every picture."""
    from PIL import Image

    width, height = open_image(picture).size
    rng = np.random.default_rng([seed, int(picture.digest[:8], 16)])
    grey = rng.integers(0, 256, (height, width), dtype=np.uint8)
    return to_png(Image.fromarray(grey).convert("RGB"), f"{picture.name}.noise-{seed}.png")
