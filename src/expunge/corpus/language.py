"""German or English: in which of the two a question is asked."""

from __future__ import annotations

import re
from typing import Literal

Language = Literal["de", "en"]

GERMAN = """
der die das den dem des ein eine einen einem einer und oder welche welcher welches welchen wer wen wem wie wo
wann warum was hat haben hatte ist sind wurde wird von vom mit seit für bei zu zum zur im auf nicht ich sie er
lautet heißt patient patientin worauf woran wofür wohin
"""
ENGLISH = """
the a an which who how where when what has is was of with and for at to not does did do their his her name state
give tell me
"""
GERMAN_WORDS, ENGLISH_WORDS = frozenset(GERMAN.split()), frozenset(ENGLISH.split())
WORD = re.compile(r"[^\W\d_]+")


def language_of(text: str) -> Language:
    """German where more of its words, or umlauts, say so; else English."""
    words = [word.casefold() for word in WORD.findall(text)]
    german = sum(word in GERMAN_WORDS for word in words) + sum(letter in "äöüßÄÖÜ" for letter in text) / 2
    return "de" if german > sum(word in ENGLISH_WORDS for word in words) else "en"
