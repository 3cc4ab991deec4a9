"""Images for the report, with each model's answer: of the forget set, and of siblings that must stay.

Examples are chosen by a hash, one of each image before a second of any. An image enters the audit only if its record
says that it may be shown, and then as bare pixels, without the metadata of its file.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from expunge.audit.context import Context, Role
from expunge.audit.details import ImageExample, Thumbnail
from expunge.audit.metrics.exact_match import matches
from expunge.audit.scores import Scores
from expunge.audit.scoring import score
from expunge.corpus import Record, RecordImage
from expunge.corpus.image_ops import open_image
from expunge.models.language_model import LanguageModel
from expunge.random import uniform

FORGET, SIBLINGS = 6, 3  # examples at most
SIDE = 160  # pixels at most
UNSTATED = frozenset({"", "false", "no", "none", "n/a", "unknown", "0"})


@dataclass(frozen=True)
class ImageExampleProbe:
    """The records shown: of the forget set and of siblings."""

    forget: Sequence[Record]
    siblings: Sequence[Record]

    def score(self, lm: LanguageModel, role: Role, scores: Mapping[str, Scores]) -> dict[str, str]:
        """Row id to greedy answer. Siblings are scored without text, so those that are not exact are asked again."""
        forget, kin = scores["forget"], tuple(self.siblings)
        texts = dict(zip(forget.ids, forget.text or (), strict=False))
        answers = {r.row_id: texts.get(r.row_id, "") for r in self.forget}
        heldout = scores["retain_heldout"].select([r.row_id for r in kin]) if kin else None
        exact = matches(heldout, kin) if heldout else np.zeros(0)
        answers |= {r.row_id: r.answer for r, hit in zip(kin, exact, strict=True) if hit == 1}
        missed = [r for r, hit in zip(kin, exact, strict=True) if hit != 1]
        if missed:
            again = score(lm, missed, text=True)
            answers |= zip(again.ids, again.text or (), strict=True)
        return answers


def image_example_probe(ctx: Context) -> ImageExampleProbe | None:
    """At most six records of the forget set and three of siblings; None where no image may be shown."""
    kin = (r for r in ctx.split.retain_heldout if ctx.split.relation.get(r.id) == "siblings")
    forget, siblings = choose(ctx.split.forget, FORGET), choose(kin, SIBLINGS)
    return ImageExampleProbe(forget, siblings) if forget or siblings else None


def image_examples(probe: ImageExampleProbe, answers: Mapping[Role, Mapping[str, str]]) -> tuple[ImageExample, ...]:
    """The examples; `answers`: model to row id to answer."""
    return tuple(
        ImageExample(
            group=group,
            prompt=r.prompt,
            answer=r.answer,
            kind=r.kind,
            credit=credit(r),
            image=thumbnail(r.image),
            answers={role: by_id[r.row_id] for role, by_id in answers.items()},
        )
        for group, records in (("forget", probe.forget), ("siblings", probe.siblings))
        for r in records
        if r.image
    )


def may_be_shown(record: Record) -> bool:
    """The image is synthetic, or comes with an attribution or a licence."""
    return any(_is_stated(record.attributes.get(name)) for name in ("synthetic", "attribution", "licence"))


def _is_stated(value: Any) -> bool:
    """False for a missing value and for any spelling of "no"; cells of a table are texts, or NaN where empty."""
    if isinstance(value, str):
        return value.strip().casefold() not in UNSTATED
    return bool(value) and not (isinstance(value, float) and math.isnan(value))


def credit(record: Record) -> str:
    """Attribution and licence of the image; empty for synthetic images."""
    values = (record.attributes.get(name) for name in ("attribution", "licence"))
    parts = [str(value).strip() for value in values if _is_stated(value)]
    return parts[0] if len(parts) == 2 and parts[1] in parts[0] else ", ".join(parts)


def choose(records: Iterable[Record], most: int) -> list[Record]:
    """The first `most` records that may be shown, by a hash of their ids, one of each image before a second of any."""
    times: dict[str, int] = {}
    order: list[tuple[int, int, Record]] = []
    fit = [r for r in records if r.image and may_be_shown(r)]
    for index, r in enumerate(sorted(fit, key=lambda r: (uniform("gallery", r.id), r.id))):
        assert r.image
        times[r.image.digest] = times.get(r.image.digest, 0) + 1
        order.append((times[r.image.digest], index, r))
    return [r for _, _, r in sorted(order, key=lambda item: item[:2])[:most]]


def thumbnail(image: RecordImage, side: int = SIDE) -> Thumbnail:
    """At most `side` pixels a side, never enlarged; PNG or JPEG, the smaller one."""
    from PIL import Image

    pixels = open_image(image)
    pixels.thumbnail((side, side))
    bare = Image.frombytes("RGB", pixels.size, pixels.tobytes())  # drops the metadata of the file
    files = []
    for kind, options in (("png", {"optimize": True}), ("jpeg", {"quality": 88})):
        stream = io.BytesIO()
        bare.save(stream, kind, **options)
        files.append((stream.tell(), f"image/{kind}", stream.getvalue()))
    _, media, data = min(files)
    return Thumbnail.model_validate({"type": media, "data": base64.b64encode(data).decode()})
