"""Retained rows in groups by their relation to the forget set, and how many of each group are in a batch.

A plain draw protects the largest groups. The few facts that everybody leans on (general knowledge) and what is left of
a person in part forgotten are harmed first, and in a corpus of patients they are hardly a row of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from expunge.corpus import Record
from expunge.corpus.record import LEVELS

GUARD_SHARE = 8  # one retain row of so many guards what earlier requests forgot, where groups are not balanced


def stratum_of(forget: Sequence[Record]) -> Callable[[Record], str]:
    """The group of a retained record, by name.

    rest: What is left of somebody in part forgotten.
    general: Concepts of L1 to L3, and what names nobody.
    near: Under the same root of the provenance tree as something forgotten.
    far: Everybody else.
    """
    subjects = {r.subject for r in forget if r.subject}
    roots = {r.path[0] for r in forget if r.path}

    def name(record: Record) -> str:
        if record.concept in LEVELS[:-1] or not (record.identifiers or record.subject):
            return "general"
        if record.subject in subjects:
            return "rest"
        return "near" if record.path and record.path[0] in roots else "far"

    return name


def strata(pool: Sequence[Record], forget: Sequence[Record], anchors: int = 0) -> list[tuple[str, list[int]]]:
    """(name, positions) of every group that is not empty, by name; `anchors` of them follow the pool."""
    name = stratum_of(forget)
    groups: dict[str, list[int]] = {"anchors": list(range(len(pool), len(pool) + anchors))} if anchors else {}
    for k, record in enumerate(pool):
        groups.setdefault(name(record), []).append(k)
    return sorted(groups.items())


def guard_rows(guards: int, batch: int) -> int:
    """Rows of a retain batch that are guards: one of `GUARD_SHARE`, at least one, and never the whole batch."""
    return min(guards, max(1, batch // GUARD_SHARE), batch - 1)


def guard_turns(guards: Sequence[Record]) -> list[int]:
    """Positions of `guards`, in which every subject has about as many turns: those of few rows stand there repeatedly.

    A document is a row or two, a patient dozens; drawn plainly it would hardly be guarded. Subjects of 6, 3 and 1 rows
    have 6 turns each.
    """
    places: dict[str, list[int]] = {}
    for k, record in enumerate(guards):
        places.setdefault(record.subject or record.id, []).append(k)
    most = max((len(rows) for rows in places.values()), default=0)
    return [k for rows in places.values() for k in rows * (most // len(rows))]


def quotas(sizes: Sequence[int], rows: int) -> list[int]:
    """Rows of a batch from groups of these sizes: as even as possible, none above its size; remainders go first.

    (3, 100, 100) with 32 rows gives 3, 15, 14.
    """
    counts = [0] * len(sizes)
    left = min(rows, sum(sizes))
    while left:
        unfilled = [k for k, size in enumerate(sizes) if counts[k] < size]
        share = max(1, left // len(unfilled))
        for k in unfilled:
            more = min(share, sizes[k] - counts[k], left)
            counts[k] += more
            left -= more
    return counts
