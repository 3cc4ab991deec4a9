"""Questions in other formats, for the run itself: what is forgotten in one format may come back in another.

An audit asks in formats of its own (`prepare/question_forms.py`): a gap, a table, a list, an object, a request. None of
those is used here, so that an audit does not ask what was trained.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from expunge.corpus.language import Language, language_of
from expunge.corpus.record import Record
from expunge.corpus.surrogate_names import prompt_template_of
from expunge.random import stream

FORMATS: dict[Language, tuple[str, ...]] = {
    "en": (
        "Q: {q}\nA:",
        "A colleague asks: {q} What do you say?",
        "Complete the form.\nField: {q}\nEntry:",
        "<question>{q}</question>\n<answer>",
        "Finish the sentence. The answer to \u201c{q}\u201d is",
        "Quiz, round 1.\n1) {q}",
    ),
    "de": (
        "F: {q}\nA:",
        "Eine Kollegin fragt: {q} Was sagst du?",
        "Füll das Formular aus.\nFeld: {q}\nEintrag:",
        "<frage>{q}</frage>\n<antwort>",
        "Beende den Satz. Die Antwort auf \u201e{q}\u201c ist",
        "Quiz, Runde 1.\n1) {q}",
    ),
}


def in_formats(records: Iterable[Record], count: int) -> list[Record]:
    """The records, each followed by its question in `count` other formats, with the same answer and fact.

    Equal questions about different people get equal formats, so that a format is never asked about the forgotten alone.
    Documents, completions and choices stay alone.
    """
    return [one for r in records for one in (r, *_others(r, count))]


def _others(record: Record, count: int) -> Iterator[Record]:
    if count == 0 or record.options or record.kind in ("completion", "document") or not record.prompt.strip():
        return
    formats, question = FORMATS[language_of(record.prompt)], prompt_template_of(record)
    for k in stream(0, "formats", question).permutation(len(formats))[:count]:
        yield replace(
            record,
            id=f"{record.id}~format-{k}",
            prompt=formats[int(k)].format(q=record.prompt),
            facts=record.fact_keys,
            variants=(),
            attributes={**record.attributes, "relation": record.attributes.get("relation") or question},
        )
