"""Levels and indices of tokens from spans of characters, for any tokenizer with offsets.

Offsets may include the space before a word, may be empty for special tokens, and several tokens may share a character
(the bytes of an emoji). A token belongs to a span if it shares a character with it, without white space at its ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from expunge.concepts.span import Span
from expunge.corpus.record import LEVELS

Offsets = Sequence[tuple[int, int]]  # (first character, last character + 1) of each token, `return_offsets_mapping`


def token_levels(spans: Iterable[Span], offsets: Offsets) -> list[str | None]:
    """The level of every token: the highest of the spans that it overlaps, None without one (or without a level)."""
    grades = bytearray(max((end for _, end in offsets), default=0))
    for span in spans:
        if span.level is not None:
            grade = LEVELS.index(span.level) + 1
            start, end = trimmed_range(span)
            grades[start:end] = bytes(max(old, grade) for old in grades[start:end])
    token_grades = (max(grades[start:end], default=0) for start, end in offsets)
    return [LEVELS[grade - 1] if grade else None for grade in token_grades]


def trimmed_range(span: Span) -> tuple[int, int]:
    """(start, end) of the span without white space at its ends."""
    left, right = len(span.text) - len(span.text.lstrip()), len(span.text) - len(span.text.rstrip())
    return span.start + left, max(span.start + left, span.end - right)
