"""Retained rows in groups by how they stand to what must go, and how many of each stand in a batch.

Surprising: a plain draw protects whoever is many. The few facts that everybody leans on (general knowledge) and what is
left of a person in part forgotten are what a run harms first, and in a corpus of patients hardly a row of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from expunge.corpus import Record
from expunge.corpus.record import LEVELS
from expunge.engine.rows import ANCHOR


def stratum_of(forget: Sequence[Record]) -> Callable[[Record], str]:
    """The group of a retained record, by name.

    anchors  questions about people who do not exist
    rest     what is left of somebody in part forgotten
    general  concepts of L1 to L3, and what names nobody
    near     under the same root of the provenance tree as something forgotten
    far      everybody else
    """
    subjects = {r.subject for r in forget if r.subject}
    roots = {r.path[0] for r in forget if r.path}

    def name(record: Record) -> str:
        if record.id.endswith(ANCHOR):
            return "anchors"
        if record.concept in LEVELS[:-1] or not (record.identifiers or record.subject):
            return "general"
        if record.subject in subjects:
            return "rest"
        return "near" if record.path and record.path[0] in roots else "far"

    return name


def strata(pool: Sequence[Record], forget: Sequence[Record]) -> list[tuple[str, list[int]]]:
    """(name, positions in `pool`) of every group that has somebody, by name."""
    name = stratum_of(forget)
    found: dict[str, list[int]] = {}
    for k, record in enumerate(pool):
        found.setdefault(name(record), []).append(k)
    return sorted(found.items())


def quotas(sizes: Sequence[int], rows: int) -> list[int]:
    """Rows of a batch from groups of these sizes: as even as may be, none above its size; the first get what is odd.

    (3, 100, 100) with 32 rows gives 3, 15, 14.
    """
    found = [0] * len(sizes)
    left = min(rows, sum(sizes))
    while left:
        open_ = [k for k, size in enumerate(sizes) if found[k] < size]
        share = max(1, left // len(open_))
        for k in open_:
            more = min(share, sizes[k] - found[k], left)
            found[k] += more
            left -= more
    return found
