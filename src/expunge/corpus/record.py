"""A record: one thing the model was taught, and everything the house needs to know about it.

Surprising: a record has two kinds of rephrasing. `prompt`/`answer` is what was trained; `variants` carry the
same fact in other words and are never trained, so that forgetting can be told from suppressing one wording.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from expunge.corpus.image import RecordImage

Kind = Literal["completion", "generation", "classification", "cloze"]
KINDS: tuple[str, ...] = get_args(Kind)
LEVELS: tuple[str, ...] = ("L1", "L2", "L3", "L4")
DEFAULT_TREE_LEVELS: tuple[str, ...] = ("institution", "patient", "study", "section")
BLANK = "[blank]"


@dataclass(frozen=True, slots=True)
class Variant:
    """A rephrasing of a record: own prompt, own answer, own options. Never trained."""

    prompt: str
    answer: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """One question (or passage) and its answer, with its place in the provenance tree.

    path         nodes from the root down, each `level:name`; the last one owns the record
    subject      the data subject: the unit of splits, bootstrap and audit rows
    identifiers  strings in the prompt that name the subject, one slot each, same order for every subject
    facts        keys of the facts that this record states; empty means "a fact of its own"
    image        what the record shows beside its prompt; its variants show it too
    concept      concept level L1 (fundamental) … L4 (to be forgotten), or None
    """

    id: str
    prompt: str
    answer: str
    kind: Kind = "generation"
    options: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    subject: str = ""
    identifiers: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    variants: tuple[Variant, ...] = ()
    concept: str | None = None
    split: str | None = None
    image: RecordImage | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fact_keys(self) -> tuple[str, ...]:
        """Keys of the stated facts; a record without any states one that nobody else has."""
        return self.facts or (f"record:{self.id}",)

    @property
    def node(self) -> str:
        """The node that owns this record: the deepest of its path, else its subject."""
        return self.path[-1] if self.path else f"subject:{self.subject}"

    def wordings(self) -> tuple[Record, ...]:
        """The record itself, then each variant as a record of its own (id `<id>~k`)."""
        return (
            self,
            *(
                replace(
                    self,
                    id=f"{self.id}~{k}",
                    prompt=v.prompt,
                    answer=v.answer,
                    options=v.options or self.options,
                    variants=(),
                )
                for k, v in enumerate(self.variants, 1)
            ),
        )

    def as_row(self) -> dict[str, Any]:
        """A JSON-ready row in the columns of the generic layout; empty fields are left out."""
        row: dict[str, Any] = {
            "id": self.id,
            "prompt": self.prompt,
            "answer": self.answer,
            "kind": self.kind,
            "options": list(self.options),
            "path": "/".join(self.path),
            "subject": self.subject,
            "identifiers": list(self.identifiers),
            "facts": list(self.facts),
            "variants": [
                {"prompt": v.prompt, "answer": v.answer} | ({"options": list(v.options)} if v.options else {})
                for v in self.variants
            ],
            "concept": self.concept,
            "split": self.split,
            "image": self.image and self.image.name,
            **self.attributes,
        }
        return {k: v for k, v in row.items() if v not in (None, [], "") or k in ("prompt", "answer")}

    def content(self) -> dict[str, Any]:
        """`as_row` with the digest of the picture in place of its name: what digests are taken of."""
        return self.as_row() | ({"image": self.image.digest} if self.image else {})


def content_id(prompt: str, answer: str, image: str | None = None) -> str:
    """The default id: 16 hex digits of SHA-256 over prompt, answer and image."""
    return hashlib.sha256("\0".join((prompt, answer, image or "")).encode()).hexdigest()[:16]
