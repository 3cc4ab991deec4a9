"""A name in a text, in whatever Unicode form either is written: "ü" may be one character (NFC) or two (NFD)."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache


def compose(text: str) -> str:
    """`text` in NFC, the form in which names are compared."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def occurs(name: str, text: str) -> bool:
    """Whether `name` stands in `text` letter by letter, in any Unicode form; an empty name does not."""
    return bool(name) and (name in text or (not text.isascii() and compose(name) in compose(text)))


@lru_cache(maxsize=4096)
def name_pattern(name: str) -> str:
    """A regular expression that finds `name` in any Unicode form, also in a text that mixes them."""
    return "".join(map(_letter, compose(name)))


def _letter(letter: str) -> str:
    apart = unicodedata.normalize("NFD", letter)
    return re.escape(letter) if apart == letter else f"(?:{re.escape(letter)}|{re.escape(apart)})"
