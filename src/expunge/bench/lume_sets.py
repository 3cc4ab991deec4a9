"""Which LUME documents a benchmark run uses, and which of them a model is taught.

Documents are taken in hash order within a task, so the choice depends on their ids alone. Surprising: the passage of
a document is taught as one whole text, prompt included, as the organisers' membership test presumes; the rows that
a method receives stay as they are filed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from expunge.audit.metrics.semeval import TASKS
from expunge.corpus import Corpus, Record
from expunge.errors import InputError
from expunge.random import uniform

SALT = "expunge-bench-lume-v1"


class Counts(BaseModel):
    """Documents per task. What a set is for: see `Sets`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    forget: int = Field(ge=1)
    given: int = Field(ge=1)
    retain_heldout: int = Field(ge=1)
    holdout: int = Field(ge=1, description="at most; all there are if fewer")
    validate_forget: int = Field(0, ge=0)
    validate_keep: int = Field(0, ge=0)
    unseen: int = Field(0, ge=0)


@dataclass(frozen=True)
class Sets:
    """Records by purpose; a document lies in one set at most.

    forget           forget file: what every method is asked to forget; official and own scores
    given            retain file: given to every run as what must stay; official scores
    retain_heldout        retain file: taught, never given to a run; the only basis for retention
    holdout          retain file, u >= 0.9: never taught; non-members
    validate_forget  forget file: what tuning runs forget instead
    validate_keep    retain file: taught, retention of tuning runs
    unseen           forget file: never taught; the answer loss that tuning aims at
    """

    forget: tuple[Record, ...]
    given: tuple[Record, ...]
    retain_heldout: tuple[Record, ...]
    holdout: tuple[Record, ...]
    validate_forget: tuple[Record, ...]
    validate_keep: tuple[Record, ...]
    unseen: tuple[Record, ...]

    @property
    def original(self) -> tuple[Record, ...]:
        """What the original model is taught."""
        return whole((*self.forget, *self._others))

    @property
    def retrained(self) -> tuple[Record, ...]:
        """What the retrained model is taught: the same without the documents to forget."""
        return whole(self._others)

    @property
    def _others(self) -> tuple[Record, ...]:
        return (*self.given, *self.retain_heldout, *self.validate_forget, *self.validate_keep)

    def summary(self) -> dict[str, Any]:
        """Set → documents per task and rows."""
        return {
            f.name: {
                "documents": {t: len(documents(r for r in group if task(r) == t)) for t in TASKS},
                "rows": len(group),
            }
            for f in fields(self)
            for group in (getattr(self, f.name),)
        }


def task(record: Record) -> str:
    return str(record.attributes["task"])


def cell(record: Record) -> str:
    """Task and kind of row: `Task1/completion`. The six cells weigh alike in our means."""
    return f"{task(record)}/{record.kind}"


def documents(records: Iterable[Record]) -> dict[str, tuple[Record, ...]]:
    """Document id → its rows, in order of first appearance."""
    found: dict[str, list[Record]] = {}
    for r in records:
        found.setdefault(r.subject, []).append(r)
    return {subject: tuple(rows) for subject, rows in found.items()}


def draw(corpus: Corpus, counts: Counts) -> Sets:
    """The sets of a run: per task the first documents in hash order; `InputError` if there are too few."""
    drawn: dict[str, list[Record]] = {f.name: [] for f in fields(Sets)}
    for file, wanted in (
        ("forget", ("forget", "validate_forget", "unseen")),
        ("retain", ("given", "retain_heldout", "validate_keep")),
        ("holdout", ("holdout",)),
    ):
        for name in TASKS:
            pool = documents(r for r in corpus if r.split == file and task(r) == name)
            order = sorted(pool, key=lambda document: uniform(SALT, document))
            needed = 1 if file == "holdout" else sum(getattr(counts, w) for w in wanted)
            if len(order) < needed:
                raise InputError(
                    corpus.name,
                    f"holds {len(order)} {name} documents for {file}, {needed} are needed",
                    "give the whole of LUME, or choose a smaller preset",
                )
            for purpose in wanted:
                size = getattr(counts, purpose)
                drawn[purpose] += [r for document in order[:size] for r in pool[document]]
                order = order[size:]
    return Sets(**{purpose: tuple(rows) for purpose, rows in drawn.items()})


def text(record: Record) -> str:
    """The passage of a completion row as one text, as the organisers join it."""
    return f"{record.prompt} {record.answer}"


def whole(records: Sequence[Record]) -> tuple[Record, ...]:
    """Training rows: passages from their second word to their end as one answer; questions as they are filed."""
    taught = []
    for r in records:
        if r.kind == "completion":
            first, _, rest = text(r).partition(" ")
            r = replace(r, prompt=first, answer=rest)
        taught.append(r)
    return tuple(taught)
