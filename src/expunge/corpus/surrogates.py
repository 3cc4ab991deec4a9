"""Surrogates: subjects that no model has met, about whom a record's question can be asked instead.

A surrogate has identifiers of its own (`surrogate_names.py`), a place of its own where questions state theirs
(`surrogate_places.py`) and, where records show images, images of its own (`image_ops.py`). A subject that no prompt
names has a surrogate by its images alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from expunge.corpus.image import RecordImage
from expunge.corpus.image_ops import surrogate_image
from expunge.corpus.name_forms import occurs
from expunge.corpus.provenance import states_place
from expunge.corpus.record import Record
from expunge.corpus.surrogate_names import Identity, identifiers_by_subject, make_identities, replace_all
from expunge.corpus.surrogate_parts import names_part, part_identities
from expunge.corpus.surrogate_places import place_identities
from expunge.random import stream

Replacement = Literal["both", "text", "image"]
Scale = Literal["subject", "part"]


@dataclass(frozen=True)
class Surrogate:
    """Identifier → the surrogate's, and digest of an image → the surrogate's image.

    Where a question holds a marker of `part` ("study 2"), that alone is replaced in its text, and the person stays.
    """

    names: Identity = field(default_factory=dict)
    images: Mapping[str, RecordImage] = field(default_factory=dict)
    part: Identity = field(default_factory=dict)

    def substitute(self, record: Record, answer: str | None = None) -> Record:
        """The record's question about the surrogate, with its own or another answer (also among its options)."""
        replaced = self.part if self.part and names_part(record.prompt, self.part) else self.names
        names = {**replaced, record.answer: answer} if answer else replaced
        image = self.images.get(record.image.digest, record.image) if record.image else None
        history = tuple(replace(turn, content=replace_all(turn.content, names)) for turn in record.history)
        prompt = replace_all(record.prompt, names)
        return replace(record, prompt=prompt, answer=answer or record.answer, image=image, history=history)


def can_ask_about_another(record: Record) -> bool:
    """Whether the record's question can be asked about a surrogate: it names its subject or place, or shows an image.

    In a document only a name in the text before it can be replaced, as long as the text itself holds none.
    """
    names = record.identifiers
    if record.kind == "document":
        named = any(occurs(name, record.prompt) for name in names)
        return named and not any(occurs(name, record.answer) for name in names)
    texts = (record.prompt, *(turn.content for turn in record.history))
    return bool(record.image) or states_place(record) or any(occurs(name, text) for name in names for text in texts)


def make_surrogates(
    records: Sequence[Record],
    others: Sequence[Record],
    count: int,
    seed: int,
    replacement: Replacement = "both",
    scale: Scale = "subject",
) -> list[Surrogate]:
    """Draw surrogates for the subject of `records`.

    Args:
        records: Records of one subject.
        others: Records of other subjects; their identifiers and images are the material.
        count: How many to draw; there are fewer where `others` give no more.
        seed: Seed of the draws.
        replacement: What a surrogate replaces where records show images; without images always the text.
        scale: Where a part of a person is forgotten: replace the whole person, or what identifies the part.
    """
    subject = records[0].subject
    shown = {r.image.digest: r.image for r in records if r.image}
    names: list[Identity] = [{}] * count
    own = identifiers_by_subject(records).get(subject)
    if own and not (shown and replacement == "image"):
        pool = {s: i for s, i in identifiers_by_subject(others).items() if s != subject}
        names = make_identities(own, pool, count, stream(seed, "identities", subject))
    if replacement != "image":
        places = place_identities(records, others, len(names), stream(seed, "places", subject))
        names = [{**place, **identity} for place, identity in zip(places, names, strict=True)]
    material = list({r.image.digest: r.image for r in others if r.image}.values())
    parts: Sequence[Identity] = [{}] * len(names)
    if scale == "part":
        parts = part_identities(records, others, len(names), stream(seed, "parts", subject))
    if not shown or not material or replacement == "text":
        return [Surrogate(n, part=p) for n, p in zip(names, parts, strict=True)]
    rng = stream(seed, "strange pictures", subject)
    return [
        Surrogate(n, {digest: surrogate_image(material, rng) for digest in sorted(shown)}, p)
        for n, p in zip(names, parts, strict=True)
    ]
