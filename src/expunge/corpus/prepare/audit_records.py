"""Everything an audit needs beside the records: rephrasings, matched controls, a holdout, questions on general ability.

Trained records keep all that a run reads: id, history, prompt and answer stay as they are, and only identifiers (where
there were none) and variants are added. Nothing that is added is trained.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from pydantic import Field

from expunge._config import FrozenModel
from expunge.corpus.corpus import Corpus
from expunge.corpus.prepare.controls import Inventor
from expunge.corpus.prepare.rephrasing import rephrase
from expunge.corpus.record import Record
from expunge.random import stream, uniform

FEW_SUBJECTS = 10  # below, every subject is judged among its own controls
CONTROLS, CONTROLS_OF_MANY = 40, 8


class PrepareSettings(FrozenModel):
    """What is prepared."""

    controls: int | None = Field(
        None,
        ge=0,
        le=1000,
        description="invented people for each subject; 40, or 8 where there are ten subjects or more",
    )
    holdout: int = Field(20, ge=0, le=10_000, description="invented people like the others of the corpus")
    variants: int = Field(8, ge=0, le=50, description="rephrasings of a record with a free answer")
    choices: bool = Field(False, description="also ask for a yes, a no and a choice")
    general: bool = Field(True, description="add questions on general ability")
    seed: int = Field(42, ge=0, description="seed of every draw")

    def controls_for(self, subjects: int) -> int:
        """Controls of each subject, where a scope names so many."""
        return self.controls if self.controls is not None else CONTROLS if subjects < FEW_SUBJECTS else CONTROLS_OF_MANY


@dataclass(frozen=True)
class AuditRecords:
    """The corpus with all that was added, and how many there are of each."""

    corpus: Corpus
    counts: dict[str, int]


def with_audit_records(corpus: Corpus, forget: Collection[str], settings: PrepareSettings) -> AuditRecords:
    """Add to a corpus what an audit of forgetting some of its records needs.

    Args:
        corpus: Records with identifiers.
        forget: Ids of the records to be forgotten.
        settings: What is made, and the seed.

    Raises:
        InputError: A subject has no identifiers, or nobody like it can be invented.
    """
    targets: dict[str, list[Record]] = {}
    for r in corpus.trained:
        if r.id in forget:
            targets.setdefault(r.subject, []).append(r)
    inventor = Inventor(corpus.trained, corpus.records, settings.seed)
    trained = frozenset(r.prompt for r in corpus.trained)
    wanted = settings.controls_for(len(targets))

    def vary(record: Record, wrong: Sequence[str]) -> Record:
        rng = stream(settings.seed, "choices", record.id)
        choices = settings.choices and settings.variants > 0
        return rephrase(record, wrong, trained, settings.variants, choices, rng)

    controls: list[Record] = []
    for subject, records in sorted(targets.items()):
        have = {r.subject for r in corpus.parts["control"] if r.attributes.get("control_of") == subject}
        for person in inventor.people(records, max(0, wanted - len(have)), "control", same_answers=True):
            controls += [_mark(vary(one.record, one.wrong), "control", control_of=subject) for one in person]
    holdout = [] if corpus.parts["holdout"] else _holdout(corpus, targets, inventor, settings)
    general = _general(corpus) if settings.general else []
    rows = (vary(r, inventor.wrong(r)) if r.id in forget else r for r in corpus.records)
    prepared = Corpus.of(_chain(rows, controls, holdout, general), corpus.name)
    return AuditRecords(prepared, _counts(prepared, forget, inventor))


def _mark(record: Record, split: str, **attributes: str) -> Record:
    return replace(record, split=split, attributes={**record.attributes, **attributes})


def _holdout(
    corpus: Corpus, targets: Collection[str], inventor: Inventor, settings: PrepareSettings
) -> Iterable[Record]:
    """One invented person each for some of the other subjects, with the records that name theirs."""
    by_subject: dict[str, list[Record]] = {}
    for r in corpus.trained:
        if r.subject not in targets and inventor.can_be_asked(r):
            by_subject.setdefault(r.subject, []).append(r)
    chosen = sorted(by_subject, key=lambda s: (uniform(f"holdout:{settings.seed}", s), s))[: settings.holdout]
    people: list[Record] = []
    for subject in sorted(chosen):
        for person in inventor.people(by_subject[subject], 1, "holdout"):
            people += [_mark(replace(one.record, variants=()), "holdout") for one in person]
    return people


def _general(corpus: Corpus) -> Sequence[Record]:
    """Questions on general ability, where the corpus has none."""
    if corpus.parts["utility"]:
        return ()
    from expunge.corpus.general_ability import general_questions

    return [r for r in general_questions() if r.id not in corpus.by_id]


def _chain(*groups: Iterable[Record]) -> Iterable[Record]:
    for group in groups:
        yield from group


def _counts(corpus: Corpus, forget: Collection[str], inventor: Inventor) -> dict[str, int]:
    """Sizes, for the terminal and for prepare.json."""
    controls, holdout = corpus.parts["control"], corpus.parts["holdout"]
    targets = [r for r in corpus.trained if r.id in forget]
    return {
        "trained records": len(corpus.trained),
        "records to forget": len(targets),
        "subjects to forget": len({r.subject for r in targets}),
        "of these without a name in the question": sum(not inventor.can_be_asked(r) for r in targets),
        "rephrasings of them": sum(len(r.variants) for r in targets),
        "controls (people)": len({r.subject for r in controls}),
        "controls (records)": len(controls),
        "holdout (people)": len({r.subject for r in holdout}),
        "holdout (records)": len(holdout),
        "general questions": len(corpus.parts["utility"]),
    }
