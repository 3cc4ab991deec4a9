"""From records and a scope to the folder that an audit is pinned to: `expunge data prepare` without a terminal."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from expunge.corpus import Corpus
from expunge.corpus.prepare import IdentifierTable, PrepareSettings, with_audit_records, write_prepared
from expunge.errors import InputError
from expunge.scope.ast import AllOf, AnyOf, Expression
from expunge.scope.expression import Scope
from expunge.scope.mentions import Mentions
from expunge.scope.outlook import Outlook, audit_outlook
from expunge.scope.split import Split


@dataclass(frozen=True)
class Preparation:
    """What was prepared.

    Attributes:
        corpus: The records with all that was added.
        split: The sets that a run with the same seed will have.
        counts: How many there are of each.
        outlook: What an audit without a retrained model will be able to judge.
        identifiers: The strings that name each subject.
    """

    corpus: Corpus
    split: Split
    counts: dict[str, int]
    outlook: list[Outlook]
    identifiers: IdentifierTable


def prepare(corpus: Corpus, scope: Scope, settings: PrepareSettings, identifiers: Path | None = None) -> Preparation:
    """Add to a corpus what an audit of forgetting `scope` needs.

    Args:
        corpus: Records, trained and perhaps others.
        scope: What is to be forgotten.
        settings: What is made, and the seed, which is also that of the held-out retain set.
        identifiers: A reviewed table of identifiers; by default those of the records, else proposed ones.

    Raises:
        InputError: The scope names nothing, a subject has no identifiers, or nobody like it can be invented.
    """
    before = scope.resolve(corpus, seed=settings.seed)
    table = IdentifierTable.read(identifiers, corpus) if identifiers else IdentifierTable.of(corpus)
    if names := mentioned_names(scope.term):
        table = table.with_names(corpus, (r.id for r in before.forget), names)
    made = with_audit_records(table.apply(corpus), frozenset(r.id for r in before.forget), settings)
    split = scope.resolve(made.corpus, seed=settings.seed)
    if split.training_digest != before.training_digest:
        what = "names other trained records once identifiers and controls stand beside them"
        raise InputError(scope.where, what, "name subjects, ids or attributes")
    counts = {**made.counts, "held-out retain records": len(split.retain_heldout)}
    return Preparation(made.corpus, split, counts, audit_outlook(split), table)


def mentioned_names(term: Expression) -> tuple[str, ...]:
    """The names that a scope asks to be mentioned, with their aliases."""
    if isinstance(term, Mentions):
        return term.names
    return tuple(n for t in term.terms for n in mentioned_names(t)) if isinstance(term, AllOf | AnyOf) else ()


def write(preparation: Preparation, out: Path, scope: Scope, settings: PrepareSettings, source: dict[str, Any]) -> None:
    """Write the folder; `source` says which records it was made from."""
    about = {
        "scope": scope.text,
        "settings": settings.model_dump(mode="json"),
        "source": source,
        "corpus_digest": preparation.corpus.digest,
        "training_digest": preparation.split.training_digest,
        "targets": list(preparation.split.targets),
        "counts": preparation.counts,
        "audit": [asdict(o) for o in preparation.outlook],
    }
    write_prepared(out, preparation.corpus, preparation.identifiers, about)
