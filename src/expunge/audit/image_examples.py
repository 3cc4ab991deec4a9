"""Pictures for the report, with what each model says of them: of the forgotten, and of siblings that must stay.

Surprising: entries are not chosen by how well they look but by a hash, one of each picture before a second of any. A
picture goes into the audit only if its record says that it may be shown, and then as bare pixels: what a file carries
beside them (a name, a comment) stays behind.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from expunge.audit.context import Context, Role
from expunge.audit.scoring import score
from expunge.corpus import Record, RecordImage
from expunge.corpus.image_ops import open_image
from expunge.random import uniform

FORGOTTEN, SIBLINGS = 6, 3  # entries at most
SIDE = 160  # pixels at most
UNSAID = frozenset({"", "false", "no", "none", "n/a", "unknown", "0"})


def gallery(ctx: Context) -> list[dict[str, Any]]:
    """At most six entries of the forgotten and three of siblings; empty where no picture may be shown."""
    kin = (r for r in ctx.split.retain_heldout if ctx.split.relation.get(r.id) == "siblings")
    drawn = {"forgotten": chosen(ctx.split.forget, FORGOTTEN), "sibling": chosen(kin, SIBLINGS)}
    said = {role: _said(ctx, role, drawn) for role in ctx.roles} if any(drawn.values()) else {}
    return [
        {
            "about": about,
            "prompt": r.prompt,
            "answer": r.answer,
            "kind": r.kind,
            "credit": credit(r),
            "picture": thumbnail(r.image),
            "said": {role: found[r.row_id] for role, found in said.items()},
        }
        for about, records in drawn.items()
        for r in records
        if r.image
    ]


def may_be_shown(record: Record) -> bool:
    """Its picture is drawn or made up, or comes with an attribution or a licence."""
    return any(_stated(record.attributes.get(name)) for name in ("synthetic", "attribution", "licence"))


def _stated(value: Any) -> bool:
    """Is it there, and no way of writing "no"? A table's cells are texts, or NaN where they are empty."""
    if isinstance(value, str):
        return value.strip().casefold() not in UNSAID
    return bool(value) and not (isinstance(value, float) and math.isnan(value))


def credit(record: Record) -> str:
    """Whom to name under the picture, and by which licence; empty for drawn pictures."""
    told = [str(value).strip() for name in ("attribution", "licence") if _stated(value := record.attributes.get(name))]
    return told[0] if len(told) == 2 and told[1] in told[0] else ", ".join(told)


def chosen(records: Iterable[Record], most: int) -> list[Record]:
    """The first `most` by a hash of their ids, one of each picture before a second of any."""
    times: dict[str, int] = {}
    order: list[tuple[int, int, Record]] = []
    fit = [r for r in records if r.image and may_be_shown(r)]
    for place, r in enumerate(sorted(fit, key=lambda r: (uniform("gallery", r.id), r.id))):
        assert r.image
        times[r.image.digest] = times.get(r.image.digest, 0) + 1
        order.append((times[r.image.digest], place, r))
    return [r for _, _, r in sorted(order, key=lambda item: item[:2])[:most]]


def thumbnail(picture: RecordImage, side: int = SIDE) -> dict[str, str]:
    """`{type, data}`: at most `side` pixels a side, never enlarged, PNG or JPEG (the smaller one), base64."""
    from PIL import Image

    image = open_image(picture)
    image.thumbnail((side, side))
    bare = Image.frombytes("RGB", image.size, image.tobytes())  # nothing that the file carried goes along
    made = []
    for kind, options in (("png", {"optimize": True}), ("jpeg", {"quality": 88})):
        stream = io.BytesIO()
        bare.save(stream, kind, **options)
        made.append((stream.tell(), f"image/{kind}", stream.getvalue()))
    _, media, data = min(made)
    return {"type": media, "data": base64.b64encode(data).decode()}


def _said(ctx: Context, role: Role, drawn: Mapping[str, Sequence[Record]]) -> dict[str, str]:
    """Record id → greedy answer. Siblings were scored without text, so a model is run if one was not exact."""
    forget = ctx.scores[role]["forget"]
    told = dict(zip(forget.ids, forget.text or (), strict=False))
    kin = list(drawn["sibling"])
    exact = dict(
        zip(
            (r.row_id for r in kin),
            ctx.values("exact_match", role, "retain_heldout", [r.row_id for r in kin]),
            strict=True,
        )
    )
    found = {r.row_id: told.get(r.row_id, "") for r in drawn["forgotten"]}
    found |= {r.row_id: r.answer for r in kin if exact[r.row_id] == 1}
    missed = [r for r in kin if exact[r.row_id] != 1]
    if missed:
        scores = score(ctx.load(role), missed, text=True)
        found |= zip(scores.ids, scores.text or (), strict=True)
    return found
