"""Annotated texts: marks, colors, a page, and escaped characters."""

from __future__ import annotations

import math

from expunge._printable import visible
from expunge.concepts.highlight import NO_LEVEL, AssertionCounts, legend, page, plain, rich_text, status
from expunge.concepts.span import Span

TEXT = "No <b>fever</b>, breast cancer \x1b[31m"
SPANS = (
    Span(6, 11, "fever", ("X:1",), "L2", negated=True),
    Span(17, 30, "breast cancer", ("A&B", "C:2"), "L4", False, "family"),
    Span(31, 32, "\x1b", ("X:9",)),
)


def counts(*texts: tuple[Span, ...]):  # type: ignore[no-untyped-def]
    total = AssertionCounts()
    for spans in texts:
        total.add(spans)
    return total


def test_plain_marks_carry_level_and_assertion() -> None:
    assert plain(TEXT, SPANS) == "No <b>[L2 not:fever]</b>, [L4 family:breast cancer] [-:␛][31m"
    assert plain("nothing", ()) == "nothing"


def test_colors_differ_by_level_and_negated_words_are_struck() -> None:
    shown = rich_text(TEXT, SPANS)
    styles = {shown.plain[part.start : part.end]: str(part.style) for part in shown.spans}
    assert styles["fever"] == "green underline strike"
    assert styles["breast cancer"] == "bold red underline"
    assert shown.plain == visible(TEXT).replace("fever", "fever (not)").replace("cancer", "cancer (family)")
    assert all(level in legend().plain for level in ("L1", "L2", "L3", "L4", NO_LEVEL))


def test_counts_are_of_texts_and_mentions() -> None:
    result = counts(SPANS, (), SPANS[:1])
    assert (result.texts, result.with_concept, result.negated) == (3, 2, 2)
    assert result.concepts == {"X:1", "A&B", "C:2", "X:9"}
    assert result.as_row()["spans"] == 4
    assert result.as_row()["levels"] == {"L1": 0, "L2": 2, "L3": 0, "L4": 1, NO_LEVEL: 1}
    assert result.assertions == {"family": 1}
    assert result.share == 2 / 3
    assert math.isnan(counts().share)


def test_a_page_is_self_contained_and_escapes_its_texts() -> None:
    html = page("a<b>.txt", [("r\u202e1", TEXT, SPANS)], counts(SPANS, SPANS))
    assert "<b>fever" not in html
    assert "&lt;b&gt;<mark" in html
    assert 'title="A&amp;B, C:2"' in html
    assert "Concepts in <bdi>a&lt;b&gt;.txt</bdi>" in html
    assert "\u202e" not in html
    assert "\x1b" not in html
    assert "only the first 1 text is shown" in html
    assert 'class="L2 negated"' in html
    assert "script" not in html
    assert "http://" not in html
    assert "https://" not in html
    assert html.count("<mark") == html.count("</mark>") == 5 + 3


def test_status_names_negation_before_assertion() -> None:
    assert status(Span(0, 1, "a", ("X:1",), negated=True, assertion="history")) == "not, history"
    assert status(Span(0, 1, "a", ("X:1",))) == ""
