"""Assertion status of mentions: negated, of the family, historical, hypothetical, by trigger words around them.

The algorithm is NegEx (Chapman et al. 2001) with the statuses of ConText (Harkema et al. 2009): the scope of a trigger
are the mentions before or after it, up to a word that ends its clause. A trigger inside a longer mention does not count
("epilepsy without aura"), and a longer phrase that contains a trigger may undo it ("no increase in"). The triggers are
made for clinical notes; in textbooks "no" and "if" say less about a patient.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from expunge.concepts.assertion_triggers import TERMINATOR, TRIGGER_GROUPS, Trigger
from expunge.concepts.span import Span

MAX_SENTENCE = 1_000  # characters; a longer sentence is cut, which bounds the time
PRIORITY = ("family", "hypothetical", "history")
_SENTENCE_END = re.compile(
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
class TriggerMatch:
    """A trigger at characters start to end of the text."""

    start: int
    end: int
    trigger: Trigger


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each sentence; neither a line break alone nor an abbreviation ("Dr.", "e.g.") ends one."""
    start = 0
    for end in (*_sentence_ends(text), len(text)):
        while end - start > MAX_SENTENCE:
            cut = text.rfind(" ", start + 1, start + MAX_SENTENCE) + 1 or start + MAX_SENTENCE
            yield start, cut
            start = cut
        if start < end:
            yield start, end
            start = end


def _sentence_ends(text: str) -> Iterator[int]:
    for match in _SENTENCE_END.finditer(text):
        if match[0] != "." or not _ABBREVIATION.search(text, max(0, match.start() - 12), match.end()):
            yield match.end()


def assign_assertions(text: str, spans: Sequence[Span]) -> tuple[Span, ...]:
    """The spans with `negated` and `assertion` set. Spans must ascend and not overlap."""
    if not spans:
        return ()
    bounds = list(sentences(text))
    starts = [start for start, _ in bounds]
    by_sentence: dict[int, list[Span]] = {}
    for span in spans:
        by_sentence.setdefault(bisect_right(starts, span.start) - 1, []).append(span)
    return tuple(span for k, inside in by_sentence.items() for span in _in_sentence(text, *bounds[k], inside))


def _in_sentence(text: str, start: int, end: int, spans: Sequence[Span]) -> Iterator[Span]:
    matches = [match for match in _trigger_matches(text, start, end, spans) if match.trigger.status]
    terminators = [
        match.span()
        for match in (TERMINATOR.finditer(text, start, end) if matches else ())
        if not _inside_longer(match.start(), match.end(), spans)
    ]
    statuses: list[set[str]] = [set() for _ in spans]
    for match in matches:
        for k in _scope(text, match, terminators, spans):
            statuses[k].add(match.trigger.status)
    for span, status in zip(spans, statuses, strict=True):
        assertion = next((name for name in PRIORITY if name in status), None)
        yield replace(span, negated="negated" in status, assertion=assertion) if status else span


def _trigger_matches(text: str, start: int, end: int, spans: Sequence[Span]) -> Iterator[TriggerMatch]:
    """Triggers of each group from left to right, except those within a longer mention."""
    for pattern, triggers in TRIGGER_GROUPS:
        for match in pattern.finditer(text, start, end):
            if not _inside_longer(match.start(), match.end(), spans):
                yield TriggerMatch(match.start(), match.end(), triggers[(match.lastindex or 1) - 1])


def _inside_longer(start: int, end: int, spans: Iterable[Span]) -> bool:
    return any(s.start <= start and end <= s.end and (s.start, s.end) != (start, end) for s in spans)


def _closing_parenthesis(text: str, start: int, end: int) -> int:
    """Where a parenthesis that was opened before `start` closes; `end` if none does."""
    if text.find(")", start, end) < 0:
        return end
    depth = 0
    for at in range(start, end):
        depth += (text[at] == "(") - (text[at] == ")")
        if depth < 0:
            return at
    return end


def _scope(
    text: str, match: TriggerMatch, terminators: Sequence[tuple[int, int]], spans: Sequence[Span]
) -> Sequence[int]:
    """Indices of the mentions in the scope of a trigger."""
    trigger = match.trigger
    if trigger.forward:
        limit = _closing_parenthesis(text, match.end, spans[-1].end)
        limit = min(limit, next((at for at, _ in terminators if at >= match.end), limit))
        terminator = trigger.terminator and trigger.terminator.search(text, match.end, limit)
        limit = terminator.start() if terminator else limit
        scope = [(k, text[match.end : s.start]) for k, s in enumerate(spans) if match.end <= s.start < limit]
    else:
        limit = next((after for _, after in reversed(terminators) if after <= match.start), 0)
        scope = [
            (k, text[s.end : match.start]) for k, s in enumerate(spans) if limit <= s.start and s.end <= match.start
        ]
    near = [k for k, between in scope if not trigger.max_words or len(between.split()) <= trigger.max_words]
    return near if trigger.forward or trigger.all_mentions else near[-1:]
