"""What a question asks for, and of whom: the head of a column and the row of a table that would hold its answer."""

from __future__ import annotations

import re
from typing import NamedTuple

from expunge.corpus import BLANK, Record
from expunge.corpus.language import Language, language_of
from expunge.corpus.prepare.question_forms import rewordings
from expunge.corpus.surrogate_names import prompt_template_of

OF = {"de": "von", "en": "of"}


class QuestionField(NamedTuple):
    """A field ("date of birth"), whose it is ("Ada Berg"), and the language of its question."""

    name: str
    who: str
    language: Language


def field_of(record: Record) -> QuestionField | None:
    """The field that a question asks for; None where neither its relation nor a rule names it, or it names nobody.

    Args:
        record: With the names of its subject in `identifiers`.
    """
    who = next((name for name in sorted(record.identifiers, key=len, reverse=True) if name in record.prompt), "")
    if not who:
        return None
    language = question_language(record)
    relation = str(record.attributes.get("relation") or "").replace("_", " ").strip()
    if relation:
        return QuestionField(relation, who, language)
    tail = re.compile(rf"(?P<name>.+) {OF[language]} {re.escape(who)}:")
    for text in rewordings(record.prompt, record.identifiers):
        if match := tail.fullmatch(text):
            return QuestionField(_as_noun(match["name"], language), who, language)
    return None


def question_language(record: Record) -> Language:
    """The language of a question; the names in it do not count."""
    return language_of(prompt_template_of(record))


def _as_noun(text: str, language: Language) -> str:
    """In lower case inside of an English sentence, unless it begins with an abbreviation."""
    return text if language == "de" or text[1:2].isupper() else text[:1].lower() + text[1:]


def as_statement(prompt: str, value: str) -> str:
    """A question with a proposed value as a text: its blank filled, else the value behind it."""
    return prompt.replace(BLANK, value) if BLANK in prompt else f"{prompt} {value}"
