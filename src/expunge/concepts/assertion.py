"""Who a mention is about and whether it holds: negation, family, history, possibility, by words around it.

The idea is NegEx (Chapman et al. 2001): a trigger reaches over the mentions before or after it until a word that ends
its clause. Surprising: a trigger inside a longer mention is no trigger ("epilepsy without aura"), and a longer phrase
that contains one may undo it ("no increase in", "could not be ruled out"). Made for clinical notes; in textbook prose
"no" and "if" say less about a patient.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from expunge.concepts.assertion_triggers import BREAKS, TRIGGERS, Trigger
from expunge.concepts.span import Span

LONGEST = 1_000  # characters; where nothing ends a sentence, it is cut so that no text takes for ever
PRIORITY = ("family", "hypothetical", "history")
_ENDING = re.compile(
    r"[.!?]+[\"')\]\u201d\u2019]*(?=\s+(?![a-z])|$)"  # a full stop, and no small letter after it
    r"|\n[^\S\n]*(?=\n)"  # a blank line
    r"|\n(?=[^\S\n]*(?:[-*\u2022\u00b7]\s|\d+[.)]\s|[A-Z][\w /]{0,40}:))"  # a bullet, a number, a heading
    r"|;"
)
_ABBREVIATION = re.compile(
    r"(?:^|[^\w.])(?:[A-Za-z]|dr|mr|mrs|ms|prof|st|vs|no|fig|approx|ca|cf|e\.g|i\.e|y\.o|pt|hx"
    r"|dx|tx|rx|wt|ht|dept|est|min|max)\.$",
    re.I,
)


@dataclass(frozen=True, slots=True)
class Hit:
    """A trigger found at characters start … end of the text."""

    start: int
    end: int
    trigger: Trigger


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each sentence; a line that only wraps ends none, an abbreviation ("Dr.", "e.g.") neither."""
    start = 0
    for end in (*_endings(text), len(text)):
        while end - start > LONGEST:
            cut = text.rfind(" ", start + 1, start + LONGEST) + 1 or start + LONGEST
            yield start, cut
            start = cut
        if start < end:
            yield start, end
            start = end


def _endings(text: str) -> Iterator[int]:
    for found in _ENDING.finditer(text):
        if found[0] == "." and _ABBREVIATION.search(text, max(0, found.start() - 12), found.end()):
            continue
        yield found.end()


def judge(text: str, spans: Sequence[Span]) -> tuple[Span, ...]:
    """The same spans, with `negated` and `context` as their sentences say. Spans ascend and do not overlap."""
    if not spans:
        return ()
    bounds = list(sentences(text))
    starts = [start for start, _ in bounds]
    groups: dict[int, list[Span]] = {}
    for span in spans:
        groups.setdefault(bisect_right(starts, span.start) - 1, []).append(span)
    return tuple(span for k, inside in groups.items() for span in _sentence(text, *bounds[k], inside))


def _sentence(text: str, start: int, end: int, spans: Sequence[Span]) -> Iterator[Span]:
    hits = [hit for hit in _hits(text, start, end, spans) if hit.trigger.says]
    breaks = [
        found.span()
        for found in (BREAKS.finditer(text, start, end) if hits else ())
        if not _inside(found.start(), found.end(), spans)
    ]
    said: list[set[str]] = [set() for _ in spans]
    for hit in hits:
        for k in _reach(text, hit, breaks, spans):
            said[k].add(hit.trigger.says)
    for span, words in zip(spans, said, strict=True):
        context = next((name for name in PRIORITY if name in words), None)
        yield replace(span, negated="negated" in words, context=context) if words else span


def _hits(text: str, start: int, end: int, spans: Sequence[Span]) -> Iterator[Hit]:
    """Triggers from left to right, the longest at each place; not within a longer mention."""
    for pattern, triggers in TRIGGERS:
        for found in pattern.finditer(text, start, end):
            if not _inside(found.start(), found.end(), spans):
                yield Hit(found.start(), found.end(), triggers[(found.lastindex or 1) - 1])


def _inside(start: int, end: int, spans: Iterable[Span]) -> bool:
    return any(s.start <= start and end <= s.end and (s.start, s.end) != (start, end) for s in spans)


def _closing(text: str, start: int, end: int) -> int:
    """Where a parenthesis that was opened before `start` closes; `end` if none does."""
    if text.find(")", start, end) < 0:
        return end
    depth = 0
    for at in range(start, end):
        depth += (text[at] == "(") - (text[at] == ")")
        if depth < 0:
            return at
    return end


def _reach(text: str, hit: Hit, breaks: Sequence[tuple[int, int]], spans: Sequence[Span]) -> Sequence[int]:
    """Which of the mentions a trigger speaks of."""
    trigger = hit.trigger
    if trigger.before:  # the trigger stands before what it speaks of
        limit = _closing(text, hit.end, spans[-1].end)
        limit = min(limit, next((at for at, _ in breaks if at >= hit.end), limit))
        narrow = trigger.narrow and trigger.narrow.search(text, hit.end, limit)
        limit = narrow.start() if narrow else limit
        found = [k for k, s in enumerate(spans) if hit.end <= s.start < limit]
        if trigger.words:
            found = [k for k in found if len(text[hit.end : spans[k].start].split()) <= trigger.words]
        return found
    limit = next((after for _, after in reversed(breaks) if after <= hit.start), 0)
    found = [k for k, s in enumerate(spans) if limit <= s.start and s.end <= hit.start]
    if trigger.words:
        found = [k for k in found if len(text[spans[k].end : hit.start].split()) <= trigger.words]
    return found if trigger.many else found[-1:]
