"""Questions to forget that are also retained: the same words under another id, with no fact in common."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from expunge.corpus import Record, content_id
from expunge.errors import InputWarning
from expunge.scope.name_text import fold


def warn_of_repeats(forget: Iterable[Record], outside: Iterable[Record], where: str) -> None:
    """One `InputWarning` if records outside a scope have question and answer of one inside, in any case and spacing."""
    inside = {_content(r): r.id for r in forget}
    answers = {_brief(r.answer) for r in forget}
    count, first = 0, ("", "")
    for record in outside:
        if _brief(record.answer) in answers and (name := inside.get(_content(record))):
            count += 1
            first = first if first[0] else (record.id, name)
    if count:
        what = f"{count:,} retained records have the question and answer of one to forget"
        hint = "name them too, or give both the same fact"
        warnings.warn(f'{where}: {what} (first: "{first[0]}" = "{first[1]}"); {hint}', InputWarning, stacklevel=3)


def _brief(text: str) -> str:
    """Equal for equal texts, and cheap."""
    return fold(text[:40])[:5]


def _content(record: Record) -> str:
    image = record.image.digest if record.image else None
    return content_id(fold(record.prompt), fold(record.answer), image, record.history)
