"""The sense of a name in its context, where a dictionary gives it several levels.

Two kinds of evidence count: names of one level nearby, and the level of the record, which comes from its subject,
section or topic. A name whose other sense no dictionary lists keeps its one level.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from expunge.concepts.span import Span

WINDOW = 100  # characters between a name and a neighbor that counts, at most


def levels_in_context(
    spans: Sequence[Span], around: Sequence[Span], record_level: str | None = None, window: int = WINDOW
) -> tuple[Span, ...]:
    """`spans`, each name of several levels on the one that its context suggests.

    Every neighbor of one level has a vote, if the name has that level too, and so has the record. Most votes win; where
    several levels have as many, that of the record, else the highest. Without a vote the highest stays, so that terms
    of the target are never taken for fundamentals.

    Args:
        spans: names to judge.
        around: all names of the same text, in the same positions.
        record_level: level of the record; None where it has none.
        window: see `WINDOW`.
    """
    return tuple(replace(span, level=_level(span, around, record_level, window)) for span in spans)


def _level(span: Span, around: Sequence[Span], record_level: str | None, window: int) -> str | None:
    if len(span.levels) < 2:
        return span.level
    votes = Counter(
        other.level
        for other in around
        if len(other.levels) == 1 and other.level in span.levels and _gap(span, other) <= window
    )
    if record_level in span.levels:
        votes[record_level] += 1
    if not votes:
        return span.level
    most = max(votes.values())
    tied = [level for level, count in votes.items() if level is not None and count == most]
    return record_level if record_level in tied else max(tied)


def _gap(one: Span, other: Span) -> int:
    """Characters between two spans, 0 where they touch or overlap."""
    return max(0, other.start - one.end, one.start - other.end)
