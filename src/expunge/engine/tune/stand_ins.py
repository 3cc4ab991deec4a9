"""Stand-ins: subjects that a tuning forgets for practice, in a corpus from which the target has been taken away.

Neither the records of the target nor its controls are in that corpus, so nothing is tuned on what is audited later.
"""

from __future__ import annotations

from dataclasses import dataclass

from expunge.corpus import Corpus, Record
from expunge.corpus.record_store import materialize
from expunge.engine.stop_controls import has_surrogate
from expunge.errors import InputError
from expunge.random import uniform
from expunge.scope import Scope
from expunge.scope.near_duplicates import NearDuplicateChoice
from expunge.scope.resolve import resolve
from expunge.scope.split import Split

SALT = "expunge-stand-ins-v1"


class TooFewStandIns(InputError):
    """The records hold too few other people to practise on."""


@dataclass(frozen=True)
class Rehearsal:
    """What a tuning works on.

    Attributes:
        split: the stand-ins as the forget set, over the corpus without the target.
        subjects: the stand-ins.
        target_records: how many records the request itself names.
    """

    split: Split
    subjects: tuple[str, ...]
    target_records: int


def without_target(corpus: Corpus, scope: str, repeats: frozenset[str] = frozenset()) -> tuple[Corpus, list[Record]]:
    """The corpus without everything about the target, and the target's trained records.

    Besides the records that the scope names, all records of its subjects and all controls made for these are left out,
    and the records with ids in `repeats`.
    """
    matches = Scope.parse(scope).match(corpus)
    named = [r for r in corpus.records if r.id in matches]
    subjects = {r.subject for r in named if r.subject}
    left_out = matches | repeats
    rest = (
        r
        for r in corpus.records
        if r.id not in left_out and r.subject not in subjects and r.attributes.get("control_of") not in subjects
    )
    others = materialize(rest)
    if not others:
        raise TooFewStandIns(f'scope "{scope}"', "leaves no record to practise on", "name less")
    return Corpus.of(others, corpus.name), [r for r in named if r.split in (None, "train")]


def choose_stand_ins(corpus: Corpus, count: int, size: int, seed: int) -> tuple[str, ...]:
    """`count` subjects whose number of records is nearest to `size`; a draw from their names decides among equals.

    Args:
        corpus: the corpus without the target.
        count: how many subjects.
        size: records of the subject that they stand for.
        seed: seed of the draw.

    Raises:
        TooFewStandIns: fewer than `count` + 2 subjects name themselves in two or more records.
    """
    records: dict[str, int] = {}
    for r in corpus.trained:
        if r.subject and has_surrogate(r):
            records[r.subject] = records.get(r.subject, 0) + 1
    fitting = {subject: n for subject, n in records.items() if n > 1}
    if len(fitting) < count + 2:
        raise TooFewStandIns(
            "tune",
            f"needs {count + 2} other subjects with identifiers in two or more records, and there are {len(fitting)}",
            "write `expunge data prepare` first, or use --recipe auto",
        )
    draws = {subject: uniform(f"{SALT}:{seed}", subject) for subject in fitting}
    order = sorted(fitting, key=lambda s: (abs(fitting[s] - size), draws[s], s))
    return tuple(order[:count])


def rehearse(
    corpus: Corpus, scope: str, count: int | None = 1, seed: int = 42, near: NearDuplicateChoice = "report"
) -> Rehearsal:
    """The rehearsal for a request; near-duplicates of target and stand-ins are treated as `unlearn` treats them.

    Args:
        corpus: the records.
        scope: the request.
        count: how many stand-ins; None for as many as the request has subjects.
        seed: seed of the draw and of the held-out retain set.
        near: what happens to near-duplicates.

    Raises:
        InputError: `unlearn` would refuse the scope, or there are not enough other subjects.
    """
    rest, target = without_target(corpus, scope, Scope.parse(scope).resolve(corpus, seed=seed, near=near).excluded_ids)
    people = max(1, len({r.subject for r in target}))
    subjects = choose_stand_ins(rest, count or people, max(1, len(target) // people), seed)
    ids = frozenset(r.id for r in rest.trained if r.subject in subjects and has_surrogate(r))
    return Rehearsal(resolve(rest, ids, None, "stand-ins", seed=seed, near=near), subjects, len(target))
