"""From records and a scope to the folder that an audit is pinned to: `expunge data prepare` without a terminal."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from expunge.corpus import Corpus, Record
from expunge.corpus.prepare import AuditRecords, IdentifierTable, PrepareSettings, with_audit_records, write_prepared
from expunge.corpus.prepare.rephrasing import known_first
from expunge.errors import InputError, InputWarning
from expunge.scope.ast import AllOf, AnyOf, Expression
from expunge.scope.expression import Scope
from expunge.scope.mentions import Mentions
from expunge.scope.near_duplicates import NearDuplicateChoice
from expunge.scope.outlook import Outlook, audit_outlook
from expunge.scope.split import Split

Answered = Callable[[Sequence[Record]], Collection[str]]  # questions → row ids of those that a model answers
MAX_VARIANTS = 50  # rephrasings to choose from


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


def prepare(
    corpus: Corpus,
    scope: Scope,
    settings: PrepareSettings,
    identifiers: Path | None = None,
    answered: Answered | None = None,
    near: NearDuplicateChoice = "report",
) -> Preparation:
    """Add to a corpus what an audit of forgetting `scope` needs.

    Args:
        corpus: Records, trained and perhaps others.
        scope: What is to be forgotten.
        settings: What is made, and the seed, which is also that of the held-out retain set.
        identifiers: A reviewed table of identifiers; by default those of the records, else proposed ones.
        answered: Which of some questions the model before unlearning answers, by row id. Of all rephrasings that the
            rules give, those that it answers are taken first: what it never knew in these words cannot be judged.
        near: What happens to records that nearly repeat one to forget, as for `Scope.resolve`.

    Raises:
        InputError: The scope names nothing, a subject has no identifiers, or nobody like it can be invented.
    """
    before = scope.resolve(corpus, seed=settings.seed, near=near)
    table = IdentifierTable.read(identifiers, corpus) if identifiers else IdentifierTable.of(corpus)
    if names := mentioned_names(scope.term):
        table = table.with_names(corpus, (r.id for r in before.forget), names)
    forget = frozenset(r.id for r in before.forget)
    generous = settings.model_copy(update={"variants": MAX_VARIANTS}) if answered and settings.variants else settings
    made = with_audit_records(table.apply(corpus), forget, generous)
    counts = made.counts
    if answered:
        made, counts = _answered_first(made, forget, answered, settings.variants)
    with warnings.catch_warnings():  # the same ones as above
        warnings.simplefilter("ignore", InputWarning)
        split = scope.resolve(made.corpus, seed=settings.seed, near=near)
    if split.trained_ids != before.trained_ids:
        what = "names other trained records once identifiers and controls stand beside them"
        raise InputError(scope.where, what, "name subjects, ids or attributes")
    counts = {**counts, "held-out retain records": len(split.retain_heldout)}
    return Preparation(made.corpus, split, counts, audit_outlook(split), table)


def _answered_first(
    made: AuditRecords, forget: frozenset[str], answered: Answered, count: int
) -> tuple[AuditRecords, dict[str, int]]:
    """The records with the rephrasings that the model answers, and the counts with how many these are."""
    wordings = [w for r in made.corpus.trained if r.id in forget for w in r.wordings()]
    known = answered([w for w in wordings if w.wording or w.kind != "document"])
    mine = [r for r in made.corpus if r.id in forget or r.split == "control"]
    chosen = {r.id: r for r in known_first(mine, known, count)}
    corpus = Corpus.of((chosen.get(r.id, r) for r in made.corpus), made.corpus.name)
    kept = [w for r in corpus.trained if r.id in forget for w in r.wordings()]
    before = {(w.id, w.prompt) for w in wordings if w.row_id in known}
    counts: dict[str, int] = {}
    for name, value in made.counts.items():
        counts[name] = value
        if name == "subjects to forget":
            counts["of the records, the model answers"] = sum(
                not w.wording and (w.id, w.prompt) in before for w in kept
            )
        if name == "rephrasings of them":
            counts[name] = sum(w.wording > 0 for w in kept)
            counts["of the rephrasings, the model answers"] = sum(
                w.wording > 0 and (w.id, w.prompt) in before for w in kept
            )
    return AuditRecords(corpus, counts), counts


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
