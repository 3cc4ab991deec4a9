"""Refusals, and in which language a question asks for one."""

from __future__ import annotations

import re
from typing import Literal

from expunge.corpus import Record
from expunge.random import stream

Language = Literal["de", "en"]

ENGLISH = (
    "I have no information about that.",
    "I cannot answer that question.",
    "I'm not able to help with that.",
    "Sorry, I have no answer to this.",
)
GERMAN = (
    "Dazu habe ich keine Angaben.",
    "Diese Frage kann ich nicht beantworten.",
    "Dabei kann ich nicht helfen.",
    "Darauf habe ich leider keine Antwort.",
)
REFUSALS: dict[Language, tuple[str, ...]] = {"de": GERMAN, "en": ENGLISH}
# small words that are no English ones
GERMAN_TEXT = """
das der dem ein eine einen einem einer und oder ist sind haben hatte wird wurde welche welcher welches welchen wer wen
wem wann wo wie warum nicht von vom zu zum zur bei im auf mit seit worauf woran wofür wohin
"""
GERMAN_WORDS = frozenset(GERMAN_TEXT.split())
WORD = re.compile(r"\w+")


def language_of(text: str) -> Language:
    """German where a fifth of the words are small German ones, or one is and another word has an umlaut."""
    found = [word.lower() for word in WORD.findall(text)]
    small = sum(word in GERMAN_WORDS for word in found)
    umlaut = any(letter in word for word in found for letter in "äöüß")
    return "de" if found and (5 * small >= len(found) or (umlaut and small)) else "en"


def refusal(record: Record, seed: int) -> str:
    """The refusal of a record: the same for all questions about a subject in one language."""
    choices = REFUSALS[language_of(record.prompt)]
    return choices[int(stream(seed, "refusal", record.subject).integers(len(choices)))]


def is_refusal(answer: str, refusals: tuple[str, ...] = (*GERMAN, *ENGLISH)) -> bool:
    """Whether an answer is one of these, but for case, spaces and the final point."""
    plain = " ".join(answer.lower().split()).rstrip(".")
    return plain in {" ".join(r.lower().split()).rstrip(".") for r in refusals}
