"""Numbers, times and texts of the engine as pages show them."""

from __future__ import annotations

import math
import re
from datetime import date
from typing import Any

from markupsafe import Markup

from expunge._printable import visible

AS_SAID = (  # words of the engine that the wording table of letters and pages does not have
    (re.compile(r"\bnever[- ]trained\b"), "untrained"),
    (re.compile(r"\bnever\b"), "not"),
    (re.compile(r"\bcannot\b"), "does not"),
    (re.compile(r"\b(inclusion|consistency|log) proofs?\b"), r"\1 path"),
    (re.compile(r"\bproof\b"), "evidence"),
)


def said(text: str) -> str:
    """A text of the engine on a page: printable, and in the words that pages may use."""
    text = visible(text)
    for pattern, word in AS_SAID:
        text = pattern.sub(word, text)
    return text


def drawn(markup: Markup) -> Markup:
    """A drawing of the report in the words that pages may use."""
    text = str(markup)
    for pattern, word in AS_SAID:
        text = pattern.sub(word, text)
    return Markup(text)


def day(text: str | None) -> str:
    """`2 Mar 2026` of a date or a stamp; a dash for nothing."""
    if not text:
        return "–"
    try:
        when = date.fromisoformat(text[:10])
    except ValueError:
        return visible(text)
    return f"{when.day} {when:%b %Y}"


def clock_time(text: str | None) -> str:
    """`2 Mar 2026, 09:00 UTC` of a stamp; a dash for nothing."""
    return f"{day(text)}, {text[11:16]} UTC" if text and len(text) > 15 else day(text)


def days_left(days: int | None) -> str:
    """How long is left, in words."""
    if days is None:
        return "no date"
    if days == 0:
        return "due today"
    unit = "day" if abs(days) == 1 else "days"
    return f"{days} {unit} left" if days > 0 else f"{-days} {unit} late"


def urgency(row: dict[str, Any]) -> str:
    """The class of a row's days: late, soon, or nothing."""
    left = row["days_left"]
    if left is None or row["state"] in ("notified", "closed"):
        return ""
    return "text-bad" if left < 0 else "text-warn" if row["alarms"] >= 2 else ""


def short(digest: str | None) -> str:
    """The first twelve letters of a digest."""
    return digest[:12] if digest else "–"


def duration(seconds: float | None) -> str:
    """`12 s`, `3 min 05 s`, `2 h 10 min`; a dash for nothing."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return (
        f"{whole // 60} min {whole % 60:02d} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    )


def size(count: int | None) -> str:
    """Bytes in MiB or GiB; a dash for nothing."""
    if not count:
        return "–"
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
