"""Comparison of texts: one normalization and one tokenizer for every language.

CJK text has no spaces, so every CJK character is a token of its own. (The `rouge_score` package keeps a-z and 0-9 only
and gives a perfect Chinese answer 0.)
"""

from __future__ import annotations

import re
import unicodedata

CJK_RANGES: tuple[tuple[int, int], ...] = (
    (0x2E80, 0x2FDF),  # radicals
    (0x3005, 0x3007),  # iteration mark, closing mark, zero
    (0x3040, 0x31FF),  # kana, bopomofo, Hangul compatibility jamo
    (0x3400, 0x4DBF),  # Han, extension A
    (0x4E00, 0x9FFF),  # Han
    (0xAC00, 0xD7AF),  # Hangul syllables
    (0xF900, 0xFAFF),  # Han, compatibility
    (0x20000, 0x3FFFF),  # Han, later extensions
)
ASCII_WORD = re.compile("[a-z0-9]+")


def normalize(text: str) -> str:
    """NFKC, casefold, NFKC again (casefolding can undo it), then strip white space at both ends."""
    if text.isascii():
        return text.lower().strip()
    folded = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", folded).strip()


def is_cjk(character: str) -> bool:
    """True for a Han, kana, bopomofo or Hangul character."""
    code = ord(character)
    return code >= 0x2E80 and any(low <= code <= high for low, high in CJK_RANGES)


def tokens(text: str) -> list[str]:
    """Words of the normalized text: runs of letters, digits and their marks; each CJK character alone."""
    if text.isascii():
        return ASCII_WORD.findall(text.lower())
    words: list[str] = []
    growing = False  # the last token may take another letter
    touching = False  # the previous character belongs to a token, so a combining mark joins it
    for character in normalize(text):
        category = unicodedata.category(character)[0]
        if category == "M" and touching:
            words[-1] += character
        elif category in "LN":
            alone = is_cjk(character)
            if growing and not alone:
                words[-1] += character
            else:
                words.append(character)
            growing, touching = not alone, True
        else:
            growing = touching = False
    return words
