"""Annotated texts for people: marks in plain text, colours on a terminal, one HTML page that needs nothing else.

Levels differ by colour and by underline, so that they can be told apart without colours. Surprising: control and
direction characters of the text are shown as visible signs, one for one, so that no text can hide what stands in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from expunge.concepts.span import Span
from expunge.corpus.record import LEVELS

if TYPE_CHECKING:
    from rich.text import Text

NONE = "no level"
STYLES: Mapping[str, str] = {"L1": "cyan", "L2": "green", "L3": "yellow", "L4": "bold red", NONE: "dim"}
MEANING: Mapping[str, str] = {
    "L1": "fundamental",
    "L2": "general",
    "L3": "specialty",
    "L4": "to be forgotten",
    NONE: "without a rule",
}
_VISIBLE = (
    {c: 0x2400 + c for c in range(32) if chr(c) not in "\n\t"}
    | {0x7F: 0x2421}
    | dict.fromkeys((*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)), 0xFFFD)
)
_CSS = """
:root { --ink: #1b1f24; --soft: #57606a; --rule: #d0d7de; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 960px; padding: 32px 24px 64px; background: #fff; color: var(--ink);
  font: 16px/1.6 system-ui, -apple-system, "Segoe UI", "Liberation Sans", Arial, sans-serif; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 14px; font-weight: 600; color: var(--soft); margin: 0 0 4px; overflow-wrap: anywhere; }
.soft { color: var(--soft); margin: 0 0 16px; max-width: 78ch; }
.legend { list-style: none; margin: 0 0 24px; padding: 12px 0; border: solid var(--rule); border-width: 1px 0;
  display: grid; grid-template-columns: repeat(auto-fit, minmax(160px, 1fr)); gap: 4px 24px; }
.legend b { font-variant-numeric: tabular-nums; }
section { border-bottom: 1px solid var(--rule); padding: 14px 0; }
.text { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
mark { color: inherit; background: none; border-bottom: 2px solid; padding: 0 1px; border-radius: 2px 2px 0 0; }
.L1 { background: #e3f1fb; border-bottom: 2px dotted #0072b2; }
.L2 { background: #e2f4ee; border-bottom: 2px dashed #007a5e; }
.L3 { background: #fbf0d2; border-bottom: 2px solid #8a6100; }
.L4 { background: #fde4dc; border-bottom: 4px double #b42a00; font-weight: 600; }
.none { background: #f3f4f6; border-bottom: 1px solid #8c959f; }
.negated { text-decoration: line-through; text-decoration-thickness: 1px; }
.tag { font-size: 11px; font-weight: 400; color: var(--soft); margin-left: 3px; vertical-align: super; line-height: 1; }
"""


@dataclass(frozen=True)
class AssertionCounts:
    """What stands in some texts.

    levels     level, or "no level" → spans
    negated    spans that the text denies
    contexts   `family`, `history`, `hypothetical` → spans
    concepts   different concept ids
    """

    texts: int
    with_concept: int
    spans: int
    levels: Mapping[str, int]
    negated: int
    contexts: Mapping[str, int]
    concepts: int

    @property
    def share(self) -> float:
        """Share of texts with at least one concept; NaN without texts."""
        return self.with_concept / self.texts if self.texts else float("nan")


class Tally:
    """Counts text by text, so that no text need be kept."""

    def __init__(self) -> None:
        self._texts = self._with = self._negated = 0
        self._levels: Counter[str] = Counter()
        self._contexts: Counter[str] = Counter()
        self._concepts: set[str] = set()

    def add(self, spans: Sequence[Span]) -> None:
        """Count the spans of one more text."""
        self._texts += 1
        self._with += bool(spans)
        self._negated += sum(s.negated for s in spans)
        self._levels.update(s.level or NONE for s in spans)
        self._contexts.update(s.context for s in spans if s.context)
        self._concepts.update(c for s in spans for c in s.concepts)

    def counts(self) -> AssertionCounts:
        """What was counted so far."""
        return AssertionCounts(
            self._texts,
            self._with,
            self._levels.total(),
            {k: self._levels[k] for k in (*LEVELS, NONE)},
            self._negated,
            dict(sorted(self._contexts.items())),
            len(self._concepts),
        )


def visible(text: str) -> str:
    """`text` of the same length, with control and direction characters replaced by signs."""
    return text.translate(_VISIBLE)


def about(span: Span) -> str:
    """`not, family` and the like: what the context says of a span; "" for a plain mention."""
    return ", ".join(filter(None, ("not" if span.negated else "", span.context or "")))


def plain(text: str, spans: Sequence[Span]) -> str:
    """Marks in brackets: `[L4:appendectomy]`, `[L3 not, family:breast cancer]`, `[-:registry]` without a level."""
    return "".join(
        part if span is None else f"[{' '.join(filter(None, (span.level or '-', about(span))))}:{part}]"
        for part, span in _parts(text, spans)
    )


def rich_text(text: str, spans: Sequence[Span]) -> Text:
    """Colours for a terminal; negated mentions are struck through, and the context stands behind."""
    from rich.text import Text

    shown = Text()
    for part, span in _parts(text, spans):
        if span is None:
            shown.append(part)
        else:
            shown.append(part, STYLES[span.level or NONE] + " underline" + (" strike" if span.negated else ""))
            shown.append(f" ({about(span)})" if about(span) else "", "dim")
    return shown


def legend() -> Text:
    """One coloured line that says which level looks how."""
    from rich.text import Text

    return Text("  ").join(Text(f"{level} {MEANING[level]}", STYLES[level] + " underline") for level in STYLES)


def page(title: str, texts: Sequence[tuple[str, str, Sequence[Span]]], counts: AssertionCounts) -> str:
    """An HTML page without scripts or links: counts as the legend, then (name, text, spans) in order.

    The counts may be of more texts than are shown; the page then says so.
    """
    legend = "".join(
        f'<li><mark class="{_css(level)}">{level}</mark> {MEANING[level]}: <b>{count:,}</b></li>'
        for level, count in counts.levels.items()
    )
    body = "".join(
        f'<section><h2><bdi>{escape(visible(name))}</bdi></h2><p class="text" dir="auto">'
        f"{_marked(text, spans)}</p></section>\n"
        for name, text, spans in texts
    )
    said = [
        f"{counts.with_concept:,} of {counts.texts:,} texts name a concept",
        f"{counts.spans:,} mentions",
        f"{counts.negated:,} of them negated (struck through)",
        *(f"{count:,} {name}" for name, count in counts.contexts.items()),
        *([f"only the first {len(texts):,} texts are shown"] if len(texts) < counts.texts else []),
    ]
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>Concepts in {escape(visible(title))}</title>
<style>{_CSS}</style>
</head>
<body>
<h1>Concepts in <bdi>{escape(visible(title))}</bdi></h1>
<p class="soft">{"; ".join(said)}.</p>
<ul class="legend">{legend}</ul>
<main>
{body}</main>
</body>
</html>
"""


def _marked(text: str, spans: Sequence[Span]) -> str:
    found = []
    for part, span in _parts(text, spans):
        if span is None:
            found.append(escape(part))
            continue
        tag = f'<span class="tag">{about(span)}</span>' if about(span) else ""
        kind = _css(span.level or NONE) + (" negated" if span.negated else "")
        found.append(f'<mark class="{kind}" title="{escape(", ".join(span.concepts))}">{escape(part)}</mark>{tag}')
    return "".join(found)


def _parts(text: str, spans: Sequence[Span]) -> Iterable[tuple[str, Span | None]]:
    """The text in pieces, each with its span or None; spans ascend and do not overlap."""
    text, done = visible(text), 0
    for span in spans:
        yield text[done : span.start], None
        yield text[span.start : span.end], span
        done = span.end
    yield text[done:], None


def _css(level: str) -> str:
    return "none" if level == NONE else level
