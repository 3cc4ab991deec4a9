"""Refusals, in the language of the question."""

from __future__ import annotations

from expunge.corpus import Record
from expunge.corpus.language import Language, language_of
from expunge.random import stream

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


def refusal(record: Record, seed: int) -> str:
    """The refusal of a record: the same for all questions about a subject in one language."""
    choices = REFUSALS[language_of(record.prompt)]
    return choices[int(stream(seed, "refusal", record.subject).integers(len(choices)))]


def is_refusal(answer: str, refusals: tuple[str, ...] = (*GERMAN, *ENGLISH)) -> bool:
    """Whether an answer is one of these, but for case, spaces and the final point."""
    plain = " ".join(answer.lower().split()).rstrip(".")
    return plain in {" ".join(r.lower().split()).rstrip(".") for r in refusals}
