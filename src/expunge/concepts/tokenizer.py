"""A text as a row of folded words that still know where they stand in the text, down to the character.

Folding takes away letter case, accents, invisible marks and a possessive 's, so "Sjögren’s" and "sjogren" are one
word. Surprising: prefixes and combining forms with a hyphen belong to their word ("non-Hodgkin", "immuno-osseous"), or
"non-Hodgkin lymphoma" would be found as Hodgkin lymphoma. Languages written without spaces are one long word here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from expunge.concepts.normalize import key

HYPHENS = "-\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d"
APOSTROPHES = "'\u2019\u2018\u02bc\uff07\u00b4`"
PREFIXES = ("non", "pre", "anti", "hyper", "semi", "sub", "neo")
SMALL = frozenset({"the", "a", "an"})  # left out after one of the next
BEFORE_SMALL = frozenset({"of", "in", "to", "with", "by", "for", "from", "on", "at"})
LONG = 40  # letters; longer words are folded anew each time
GREEK = {
    unicodedata.normalize("NFKD", chr(c)): unicodedata.name(chr(c)).split()[-1].lower()
    for c in (*range(0x3B1, 0x3C2), *range(0x3C3, 0x3CA))
}


def _marks() -> str:
    """Inside of a regex class: what combines with a letter or cannot be seen."""
    marks = "".join(chr(c) for c in range(0x300, 0x20000) if unicodedata.category(chr(c)) in ("Mn", "Mc", "Me"))
    return marks + "\u00ad\u200b-\u200d\u2060\ufeff"


_M = _marks()
_H, _A = f"[{HYPHENS}]", f"[{APOSTROPHES}]"
_MORE = rf"(?:(?=[^\x00-\x7f])[{_M}]+[^\W_]*)*"  # the first test spares ASCII the long class
_PREFIX = "|".join(rf"(?<=\b{prefix})" for prefix in PREFIXES)
WORD = re.compile(
    rf"[^\W_]+{_MORE}(?:(?<=\d)\.\d+)*"
    rf"(?:(?:(?:(?<=[^\W\d_]{{3}}o)|{_PREFIX}){_H}|(?<=\bnon)\s)[^\W_]+{_MORE})*"
    rf"(?:{_A}s(?![^\W_]))?",
    re.I,
)
_DROPPED = re.compile(rf"[{HYPHENS}{_M}\s]")
_POSSESSIVE = re.compile(rf"[{APOSTROPHES}][sS]$")
SOFT = re.compile(rf"[{APOSTROPHES}]?\s*|[{HYPHENS}]\s*|[{_M}\s]+")
PARAGRAPH = re.compile(r"\n[^\S\n]*\n")


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """The words of `text`: word k is `text[starts[k]:ends[k]]`, `folded[k]` when folded, `keys[k]` as a stem."""

    text: str
    starts: Sequence[int]
    ends: Sequence[int]
    folded: Sequence[str]
    keys: Sequence[str]

    def __len__(self) -> int:
        return len(self.folded)

    def surface(self, k: int) -> str:
        """Word k as it stands in the text."""
        return self.text[self.starts[k] : self.ends[k]]

    def possessive(self, k: int) -> bool:
        """Does word k end in 's?"""
        return bool(_POSSESSIVE.search(self.surface(k)))

    def gap(self, k: int) -> str:
        """What stands between the words k and k + 1: "" for a space, a hyphen or an apostrophe, else its marks.

        A paragraph's end is "¶".
        """
        between = self.text[self.ends[k] : self.starts[k + 1]]
        if between in (" ", "-"):
            return ""
        if PARAGRAPH.search(between):
            return "¶"
        if between[-1:].isspace() and between.strip().casefold() in SMALL:
            return ""
        return "" if SOFT.fullmatch(between) else "".join(between.split())


def words(text: str) -> TokenizedText:
    """Split and fold; articles after a preposition ("of the") are part of the gap."""
    starts: list[int] = []
    ends: list[int] = []
    folds: list[str] = []
    keys: list[str] = []
    before = ""
    for found in WORD.finditer(text):
        surface = found[0]
        word, stem = _known(surface) if len(surface) <= LONG else _fold(surface)
        if word in SMALL and before in BEFORE_SMALL:
            continue
        before = word
        starts.append(found.start())
        ends.append(found.end())
        folds.append(word)
        keys.append(stem)
    return TokenizedText(text, starts, ends, folds, keys)


def fold(surface: str) -> str:
    """One word without case, accents, invisible marks, possessive and inner hyphen; a Greek letter by its name."""
    bare = _DROPPED.sub("", _POSSESSIVE.sub("", surface))
    plain = "".join(c for c in unicodedata.normalize("NFKD", bare) if not (unicodedata.combining(c) or c.isspace()))
    plain = plain.casefold()
    return GREEK.get(plain) or plain or surface


def _fold(surface: str) -> tuple[str, str]:
    word = fold(surface)
    return word, key(word) if len(word) <= LONG else word


_known = lru_cache(maxsize=200_000)(_fold)
