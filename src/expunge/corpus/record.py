"""A record: one question and answer of the training data, with its place in the provenance tree.

A record has one trained wording (`prompt`, `answer`) and any number of `variants`: the same fact in other words, never
trained. They separate forgetting a fact from suppressing one wording of it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from expunge._summary import short_repr
from expunge.corpus.image import RecordImage

Kind = Literal["completion", "generation", "classification", "cloze", "document"]
KINDS: tuple[str, ...] = get_args(Kind)
LEVELS: tuple[str, ...] = ("L1", "L2", "L3", "L4")
DEFAULT_TREE_LEVELS: tuple[str, ...] = ("institution", "patient", "study", "section")
BLANK = "[blank]"
ROLES: tuple[str, ...] = ("system", "developer", "user", "assistant", "tool")  # who may speak in a conversation
Modality = Literal["trained", "text", "image", "context"]
_SUFFIXES: dict[Modality, str] = {  # of row ids and random streams
    "trained": "",
    "text": "~words",
    "image": "~picture",
    "context": "~context",
}
_SUFFIXED = re.compile(r"~(\d+|words|picture|context)\Z")


@short_repr()
@dataclass(frozen=True, slots=True)
class Variant:
    """A rephrasing of a record, with its own prompt, answer and options. Never trained.

    Options of its own make it a multiple choice, also where the record itself has none.
    """

    prompt: str
    answer: str
    options: tuple[str, ...] = ()


@short_repr("role")
@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation before a record's question: who speaks (system, user, assistant ...), and what."""

    role: str
    content: str


@short_repr("id", "kind", "split", "variants", "history")
@dataclass(frozen=True, slots=True)
class Record:
    """One question (or passage) and its answer.

    Attributes:
        id: Unique in the corpus.
        prompt: The question, or the text before the answer, in the trained wording.
        answer: What the model was trained to say.
        kind: completion, generation, classification, cloze or document.
        options: Of a classification: every choice, the answer among them.
        path: Nodes from the root down, each `level:name`; the last one owns the record.
        subject: The data subject: the unit of splits, bootstrap and audit rows.
        identifiers: Strings in the prompt that name the subject, one slot each, same order for every subject.
        facts: Keys of the facts that this record states; empty means "a fact of its own".
        variants: The same fact in other words, never trained.
        split: None or any name for trained records; `holdout`, `control` or `utility` for never-trained ones.
        attributes: Everything else that the source says, for scopes such as `topic=Surgery`.
        image: What the record shows beside its prompt; its variants show it too.
        concept: Concept level L1 (fundamental) to L4 (to be forgotten), or None.
        wording: 0 for the trained wording; k for the k-th variant as a record of its own (see `wordings`).
        modality: By what its question identifies the subject: as trained, by text or image alone (see `modalities`),
            or by its place in the tree (see `provenance`).
        history: Turns of the conversation before the prompt, which is the last user turn. Never trained as an answer.

    A record of kind `document` is plain text without a question: its text stands in `answer`, and `prompt` holds the
    text before it that is read but not learnt again (see `models.documents`). No chat template wraps it. Its variants
    are places in it: text that is read, and how it goes on. The attribute `continues` is true where the document goes
    on behind the text, so that no end token belongs there.
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
    wording: int = 0
    modality: Modality = "trained"
    history: tuple[Turn, ...] = ()

    @property
    def fact_keys(self) -> tuple[str, ...]:
        """Keys of the stated facts; a record without any states one that no other record states."""
        modality = "" if self.modality == "trained" else f"\0{self.modality}"
        return self.facts or (f"record:{self.id}{modality}",)

    @property
    def node(self) -> str:
        """The node that owns this record: the deepest of its path, else its subject."""
        return self.path[-1] if self.path else f"subject:{self.subject}"

    @property
    def key(self) -> tuple[str, int]:
        """(id of the record, number of the wording): unique among all wordings of a corpus."""
        return self.id, self.wording

    @property
    def stream_key(self) -> str:
        """Names the random streams of a question; equal keys share their draws."""
        return self.id + _SUFFIXES[self.modality]

    @property
    def row_id(self) -> str:
        """`key` as one string, for files and tables: the id of the trained wording, `<id>~k` of variant k.

        Unique among all questions: an id that itself ends like a row id gets `~0` behind it. Never parsed.
        """
        wording = f"~{self.wording}" if self.wording or _SUFFIXED.search(self.id) else ""
        return self.id + wording + _SUFFIXES[self.modality]

    def wordings(self) -> tuple[Record, ...]:
        """The record itself, then each variant as a record with the same id and its number in `wording`."""
        same: dict[str, Any] = {"variants": ()}
        if self.kind == "document":
            same["attributes"] = {**self.attributes, "continues": True}
        return (
            self,
            *(
                replace(
                    self,
                    prompt=v.prompt,
                    answer=v.answer,
                    options=v.options or self.options,
                    kind="classification" if v.options and not self.options else self.kind,
                    wording=k,
                    **same,
                )
                for k, v in enumerate(self.variants, 1)
            ),
        )

    def as_row(self) -> dict[str, Any]:
        """A JSON-ready row in the columns of the generic layout, without empty fields."""
        row: dict[str, Any] = {
            "id": self.id,
            "history": [{"role": t.role, "content": t.content} for t in self.history],
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
        """The input of digests: `as_row` with the digest of the picture in place of its name."""
        row = self.as_row() | ({"image": self.image.digest} if self.image else {})
        return row | ({"id": self.row_id} if self.wording or self.modality != "trained" else {})

    def training_content(self) -> dict[str, Any]:
        """What a run reads of a trained record: `content` without its variants, which are never trained."""
        return {key: value for key, value in self.content().items() if key != "variants"}


def content_id(prompt: str, answer: str, image: str | None = None, history: Iterable[Turn] = ()) -> str:
    """The default id: 16 hex digits of SHA-256 over prompt, answer, image, and the turns before the prompt."""
    turns = (text for turn in history for text in (turn.role, turn.content))
    return hashlib.sha256("\0".join((prompt, answer, image or "", *turns)).encode()).hexdigest()[:16]
