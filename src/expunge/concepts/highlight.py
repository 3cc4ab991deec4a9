"""Annotated texts: brackets in plain text, colors on a terminal, or one self-contained HTML page.

Levels differ by color and by underline. Control and direction characters of the text are replaced by visible signs,
one for one, so that no text can hide a part of itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from string import Template
from typing import TYPE_CHECKING, Any

from expunge._data import package_text
from expunge._printable import pluralize, visible
from expunge.concepts.span import Span
from expunge.corpus.record import LEVELS

if TYPE_CHECKING:
    from rich.text import Text

NO_LEVEL = "no level"
STYLES: Mapping[str, str] = {"L1": "cyan", "L2": "green", "L3": "yellow", "L4": "bold red", NO_LEVEL: "dim"}
MEANING: Mapping[str, str] = {
    "L1": "fundamental",
    "L2": "general",
    "L3": "specialty",
    "L4": "to be forgotten",
    NO_LEVEL: "without a rule",
}


@dataclass
class AssertionCounts:
    """Counts of spans, text by text.

    Attributes:
        texts: number of texts
        with_concept: texts with at least one span
        levels: level, or "no level" -> spans
        negated: negated spans
        assertions: `family`, `history`, `hypothetical` -> spans
        concepts: concept ids
    """

    texts: int = 0
    with_concept: int = 0
    levels: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys((*LEVELS, NO_LEVEL), 0)))
    negated: int = 0
    assertions: Counter[str] = field(default_factory=Counter)
    concepts: set[str] = field(default_factory=set)

    def add(self, spans: Sequence[Span]) -> None:
        """Count the spans of one more text."""
        self.texts += 1
        self.with_concept += bool(spans)
        self.levels.update(s.level or NO_LEVEL for s in spans)
        self.negated += sum(s.negated for s in spans)
        self.assertions.update(s.assertion for s in spans if s.assertion)
        self.concepts.update(c for s in spans for c in s.concepts)

    @property
    def share(self) -> float:
        """Share of texts with at least one concept; NaN without texts."""
        return self.with_concept / self.texts if self.texts else float("nan")

    def as_row(self) -> dict[str, Any]:
        """A JSON-ready object."""
        return {
            "texts": self.texts,
            "with_concept": self.with_concept,
            "spans": self.levels.total(),
            "levels": dict(self.levels),
            "negated": self.negated,
            "assertions": dict(sorted(self.assertions.items())),
            "concepts": len(self.concepts),
        }


def status(span: Span) -> str:
    """`not, family` and the like: the assertion status of a span; "" for a plain mention."""
    return ", ".join(filter(None, ("not" if span.negated else "", span.assertion or "")))


def plain(text: str, spans: Sequence[Span]) -> str:
    """Marks in brackets: `[L4:appendectomy]`, `[L3 not, family:breast cancer]`, `[-:registry]` without a level."""
    return "".join(
        part if span is None else f"[{' '.join(filter(None, (span.level or '-', status(span))))}:{part}]"
        for part, span in _parts(text, spans)
    )


def rich_text(text: str, spans: Sequence[Span]) -> Text:
    """Colors for a terminal; negated mentions are struck through, and the status stands behind."""
    from rich.text import Text

    result = Text()
    for part, span in _parts(text, spans):
        if span is None:
            result.append(part)
        else:
            result.append(part, STYLES[span.level or NO_LEVEL] + " underline" + (" strike" if span.negated else ""))
            result.append(f" ({status(span)})" if status(span) else "", "dim")
    return result


def legend() -> Text:
    """One colored line that shows the style of each level."""
    from rich.text import Text

    return Text("  ").join(Text(f"{level} {MEANING[level]}", STYLES[level] + " underline") for level in STYLES)


def page(title: str, texts: Sequence[tuple[str, str, Sequence[Span]]], counts: AssertionCounts) -> str:
    """An HTML page without scripts or links: counts as the legend, then (name, text, spans) in order.

    The counts may be of more texts than `texts`; the page then says so.
    """
    summary = [
        f"{counts.with_concept:,} of {pluralize(counts.texts, 'text')} with a concept",
        pluralize(counts.levels.total(), "mention"),
        f"{counts.negated:,} of them negated (struck through)",
        *(f"{count:,} {name}" for name, count in sorted(counts.assertions.items())),
        *(
            [f"only the first {pluralize(len(texts), 'text is', 'texts are')} shown"]
            if len(texts) < counts.texts
            else []
        ),
    ]
    return Template(package_text("expunge.concepts", "highlight.html")).substitute(
        title=escape(visible(title)),
        summary="; ".join(summary),
        legend="".join(
            f'<li><mark class="{_css(level)}">{level}</mark> {MEANING[level]}: <b>{count:,}</b></li>'
            for level, count in counts.levels.items()
        ),
        body="".join(
            f'<section><h2><bdi>{escape(visible(name))}</bdi></h2><p class="text" dir="auto">'
            f"{_mark(text, spans)}</p></section>\n"
            for name, text, spans in texts
        ),
    )


def _mark(text: str, spans: Sequence[Span]) -> str:
    html = []
    for part, span in _parts(text, spans):
        if span is None:
            html.append(escape(part))
            continue
        tag = f'<span class="tag">{status(span)}</span>' if status(span) else ""
        kind = _css(span.level or NO_LEVEL) + (" negated" if span.negated else "")
        html.append(f'<mark class="{kind}" title="{escape(", ".join(span.concepts))}">{escape(part)}</mark>{tag}')
    return "".join(html)


def _parts(text: str, spans: Sequence[Span]) -> Iterable[tuple[str, Span | None]]:
    """The text in parts, each with its span or None; spans ascend and do not overlap."""
    text, done = visible(text), 0
    for span in spans:
        yield text[done : span.start], None
        yield text[span.start : span.end], span
        done = span.end
    yield text[done:], None


def _css(level: str) -> str:
    return "none" if level == NO_LEVEL else level
