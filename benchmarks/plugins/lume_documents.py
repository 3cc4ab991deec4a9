"""Documents of LUME as a request: which ones a run uses, and which of them a model is trained on.

Documents are taken in hash order within a task, so the choice depends on their ids alone, or on the seed as well where
the request says `by_seed`. With `longest`, only documents whose passage has at most so many characters are taken. The
passage of a document is
trained as one whole text, prompt included, as the organisers' membership test presumes; the rows that a method receives
stay as they are filed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from expunge.audit.metrics.semeval import TASKS
from expunge.bench.requests import PUBLISHED
from expunge.bench.world_instance import OWN_SETS, RecordSets, WorldInstance
from expunge.corpus import Corpus, Record, load_corpus
from expunge.errors import InputError
from expunge.random import uniform
from expunge.scope import Split

NAME = "lume-documents"
SALT = "expunge-bench-lume-v1"
FILES = {
    "forget": ("forget", "validate_forget", "unseen"),
    "retain": ("given", "retain_heldout", "validate_keep", "healing"),
    "holdout": ("holdout",),
}  # file of LUME -> sets drawn from it, in this order
DRAW = {
    "longest": 0,
    "by_seed": False,
}  # how they are drawn: characters of a passage (0: any), other ones for each seed


@dataclass(frozen=True)
class Documents:
    """Records of LUME documents by purpose; a document is in one set at most.

    Attributes:
        forget: forget file; what every arm forgets, and what the official scores use.
        given: retain file; given to every run, and to the official scores.
        retain_heldout: retain file; trained, never given to a run: the only basis of retention.
        holdout: retain file (u >= 0.9); never trained: the non-members.
        validate_forget: forget file; what tuning runs forget instead.
        validate_keep: retain file; retention of tuning runs.
        unseen: forget file; never trained: the answer loss that tuning aims at.
        healing: retain file; what a model without some of its blocks is healed with before it is taught anything.
    """

    forget: tuple[Record, ...]
    given: tuple[Record, ...]
    retain_heldout: tuple[Record, ...]
    holdout: tuple[Record, ...]
    validate_forget: tuple[Record, ...]
    validate_keep: tuple[Record, ...]
    unseen: tuple[Record, ...]
    healing: tuple[Record, ...] = ()

    def trained(self, name: str) -> tuple[Record, ...]:
        """Training rows of the original, or of a retrained model; passages as whole texts."""
        others = (*self.given, *self.retain_heldout, *self.validate_forget, *self.validate_keep)
        return whole_texts((*self.forget, *others) if name == "original" else others)

    def summary(self) -> dict[str, Any]:
        """Set to documents per task and rows."""
        return {
            f.name: {
                "documents": {t: len(by_document(r for r in group if task(r) == t)) for t in TASKS},
                "rows": len(group),
            }
            for f in fields(self)
            for group in (getattr(self, f.name),)
        }


def task(record: Record) -> str:
    """`Task1` to `Task3`."""
    return str(record.attributes["task"])


def by_document(records: Iterable[Record]) -> dict[str, tuple[Record, ...]]:
    """Document id to its rows, in order of first appearance."""
    groups: dict[str, list[Record]] = {}
    for r in records:
        groups.setdefault(r.subject, []).append(r)
    return {subject: tuple(rows) for subject, rows in groups.items()}


def draw_documents(corpus: Corpus, counts: Mapping[str, int], longest: int = 0, salt: str = SALT) -> Documents:
    """Per task the first documents in hash order; `counts`: set to documents per task.

    Args:
        longest: most characters of a passage; 0 for any number.
        salt: decides the order; another one draws other documents.
    """
    if unknown := sorted(set(counts) - {f.name for f in fields(Documents)}):
        known = ", ".join((*(f.name for f in fields(Documents)), *DRAW))
        raise InputError(f"request {NAME}", f'unknown setting "{unknown[0]}"', f"known: {known}")
    drawn: dict[str, list[Record]] = {f.name: [] for f in fields(Documents)}
    for file, wanted in FILES.items():
        for name in TASKS:
            pool = by_document(r for r in corpus if r.split == file and task(r) == name)
            short = (d for d, rows in pool.items() if not longest or longest_passage(rows) <= longest)
            order = sorted(short, key=lambda document: uniform(salt, document))
            needed = 1 if file == "holdout" else sum(counts.get(w, 0) for w in wanted)
            if len(order) < needed:
                what = f"holds {len(order)} {name} documents for {file}, {needed} are needed"
                raise InputError(corpus.name, what, "give the whole of LUME, or choose a smaller preset")
            for purpose in wanted:
                size = counts.get(purpose, 0)
                drawn[purpose] += [r for document in order[:size] for r in pool[document]]
                order = order[size:]
    return Documents(**{purpose: tuple(rows) for purpose, rows in drawn.items()})


def passage(record: Record) -> str:
    """The passage of a completion row as one text, as the organisers join it."""
    return f"{record.prompt} {record.answer}"


def longest_passage(records: Iterable[Record]) -> int:
    """Characters of the longest passage of a document."""
    return max((len(passage(r)) for r in records if r.kind == "completion"), default=0)


def whole_texts(records: Sequence[Record]) -> tuple[Record, ...]:
    """Training rows: passages from their second word to their end as one answer; questions as they are filed."""
    rows = []
    for r in records:
        if r.kind == "completion":
            first, _, rest = passage(r).partition(" ")
            r = replace(r, prompt=first, answer=rest)
        rows.append(r)
    return tuple(rows)


def record_sets(cell: WorldInstance) -> RecordSets:
    """The sets of a request; at the validation part, runs forget and keep other documents."""
    corpus = load_corpus(cell.request.folder(), "lume-holdout")
    settings = cell.request.settings
    counts = {name: size for name, size in settings.items() if name not in DRAW}
    salt = f"{SALT}:{cell.seed}" if settings.get("by_seed") else SALT
    documents = draw_documents(corpus, counts, settings.get("longest", 0), salt)
    forget, heldout = documents.forget, documents.retain_heldout
    if cell.part == "validation":
        forget, heldout = documents.validate_forget, documents.validate_keep
    split = Split("lume", forget, documents.given, heldout)
    training = {name: documents.trained(name) for name in ("original", "retrained")}
    healing = whole_texts(documents.healing)
    return RecordSets(corpus, split, documents.holdout, training, documents, healing=healing)


def load(*given: object) -> tuple[Corpus, str]:
    """Refused: a request for documents has record sets of its own (`OWN_SETS`)."""
    raise InputError("request lume", "has no single corpus and scope", "read its record sets")


PUBLISHED[NAME] = load
OWN_SETS[NAME] = record_sets
