"""From spans of characters to tokens, for any tokenizer that tells where its tokens stand in the text.

Works on offsets alone, as fast tokenizers give them (`return_offsets_mapping`). Surprising: offsets may include the
space before a word, may be empty for special tokens, and several tokens may share one character (the bytes of an
emoji); so a token counts if it shares at least one character with the span, white space at the span's ends left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from expunge.concepts.span import Span
from expunge.corpus.record import LEVELS

Offsets = Sequence[tuple[int, int]]  # (first character, last character + 1) of each token


def token_levels(spans: Iterable[Span], offsets: Offsets) -> list[str | None]:
    """The level of every token: the highest of the spans that it overlaps, None without one (or without a level)."""
    grade = bytearray(max((end for _, end in offsets), default=0))
    for span in spans:
        if span.level is not None:
            value = LEVELS.index(span.level) + 1
            start, end = trimmed(span)
            grade[start:end] = bytes(max(old, value) for old in grade[start:end])
    found = (max(grade[start:end], default=0) for start, end in offsets)
    return [LEVELS[value - 1] if value else None for value in found]


def token_spans(spans: Iterable[Span], offsets: Offsets) -> list[tuple[int, ...]]:
    """For each span the indices of its tokens, ascending; () where the tokens were cut off before it."""
    at: dict[int, list[int]] = {}
    for k, (start, end) in enumerate(offsets):
        for character in range(start, end):
            at.setdefault(character, []).append(k)
    return [tuple(sorted({k for character in range(*trimmed(span)) for k in at.get(character, ())})) for span in spans]


def trimmed(span: Span) -> tuple[int, int]:
    """(start, end) of the span without white space at its ends."""
    left, right = len(span.text) - len(span.text.lstrip()), len(span.text) - len(span.text.rstrip())
    return span.start + left, max(span.start + left, span.end - right)
