"""Questions in other formats, for the run itself: what is forgotten in one format may come back in another.

An audit asks in formats of its own (`prepare/question_forms.py`): a gap, a table, a list, an object, a request. None of
those is used here, so that an audit does not ask what was trained. Conversations (`conversations.py`) have the shape of
the turns that the audit sets before a question, with other questions in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice

from expunge.corpus.language import Language, language_of
from expunge.corpus.question_groups import question_groups
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


@dataclass(frozen=True)
class FormatChoice:
    """In which formats each question of a run is asked; equal questions, retained ones too, in the same.

    Attributes:
        groups: Template of a prompt -> that of all equal questions (`question_groups`).
        formats: Template of equal questions -> texts with their numbers.
    """

    groups: Mapping[str, str]
    formats: Mapping[str, tuple[tuple[int, str], ...]]

    @classmethod
    def of(cls, records: Iterable[Record], count: int, fits: Callable[[Record], bool] = lambda _: True) -> FormatChoice:
        """Up to `count` formats for the questions of `records`, each only if every equal question fits in it.

        Args:
            records: Both sides of a run. A format that only some of them could be asked in would be asked about the
                forgotten alone.
            count: How many other formats.
            fits: Whether a model can read a record.
        """
        questions = [record for record in records if count and is_open_question(record)]
        groups = question_groups(questions)
        members: dict[str, list[Record]] = {}
        for record in questions:
            members.setdefault(groups[prompt_template_of(record)], []).append(record)
        formats = {}
        for group, equal in members.items():
            texts = FORMATS[language_of(group)]
            order = ((int(k), texts[int(k)]) for k in stream(0, "formats", group).permutation(len(texts)))
            formats[group] = tuple(islice((f for f in order if all(fits(_ask(r, *f)) for r in equal)), count))
        return cls(groups, formats)

    def apply(self, records: Iterable[Record]) -> list[Record]:
        """The records, each followed by its question in the other formats, with the same answer and fact.

        Documents, completions and choices stay alone, and so does what was not there when the formats were chosen.
        """
        return [one for r in records for one in (r, *(_ask(r, *form) for form in self._formats_of(r)))]

    def _formats_of(self, record: Record) -> tuple[tuple[int, str], ...]:
        if not is_open_question(record):
            return ()
        return self.formats.get(self.groups.get(prompt_template_of(record), ""), ())


def is_open_question(record: Record) -> bool:
    """Whether a record can be asked in another format."""
    return not record.options and record.kind not in ("completion", "document") and bool(record.prompt.strip())


def _ask(record: Record, number: int, text: str) -> Record:
    return replace(
        record,
        id=f"{record.id}~format-{number}",
        prompt=text.format(q=record.prompt),
        facts=record.fact_keys,
        variants=(),
        attributes={**record.attributes, "relation": record.attributes.get("relation") or prompt_template_of(record)},
    )
