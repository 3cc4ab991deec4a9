"""Words of a text, folded, with their positions in the text.

Folding removes letter case, accents, invisible marks and a possessive 's, so "Sjögren’s" and "sjogren" are one word.
Prefixes and combining forms with a hyphen belong to their word ("non-Hodgkin", "immuno-osseous"), so that "non-Hodgkin
lymphoma" does not match Hodgkin lymphoma. Languages without spaces are not split.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from expunge.concepts.normalize import stem

HYPHENS = "-\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d"
APOSTROPHES = "'\u2019\u2018\u02bc\uff07\u00b4`"
PREFIXES = ("non", "pre", "anti", "hyper", "semi", "sub", "neo")
ARTICLES = frozenset({"the", "a", "an"})  # left out after one of the next
PREPOSITIONS = frozenset({"of", "in", "to", "with", "by", "for", "from", "on", "at"})
MAX_CACHED = 40  # letters; longer words are folded each time
GREEK = {
    unicodedata.normalize("NFKD", chr(c)): unicodedata.name(chr(c)).split()[-1].lower()
    for c in (*range(0x3B1, 0x3C2), *range(0x3C3, 0x3CA))
}


def _marks() -> str:
    """Content of a regex class: combining and invisible characters."""
    marks = "".join(chr(c) for c in range(0x300, 0x20000) if unicodedata.category(chr(c)) in ("Mn", "Mc", "Me"))
    return marks + "\u00ad\u200b-\u200d\u2060\ufeff"


_M = _marks()
_H, _A = f"[{HYPHENS}]", f"[{APOSTROPHES}]"
_MORE = rf"(?:(?=[^\x00-\x7f])[{_M}]+[^\W_]*)*"  # the lookahead spares ASCII text the long class
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
    """The words of `text`: word k is `text[starts[k]:ends[k]]`, `folded[k]` when folded, with the stem `stems[k]`."""

    text: str
    starts: Sequence[int]
    ends: Sequence[int]
    folded: Sequence[str]
    stems: Sequence[str]

    def __len__(self) -> int:
        return len(self.folded)

    def surface(self, k: int) -> str:
        """Word k, not folded."""
        return self.text[self.starts[k] : self.ends[k]]

    def possessive(self, k: int) -> bool:
        """Whether word k ends in 's."""
        return bool(_POSSESSIVE.search(self.surface(k)))

    def gap(self, k: int) -> str:
        """The marks between the words k and k + 1: "" for a space, hyphen or apostrophe, "¶" for a paragraph's end."""
        between = self.text[self.ends[k] : self.starts[k + 1]]
        if between in (" ", "-"):
            return ""
        if PARAGRAPH.search(between):
            return "¶"
        if between[-1:].isspace() and between.strip().casefold() in ARTICLES:
            return ""
        return "" if SOFT.fullmatch(between) else "".join(between.split())


def tokenize(text: str) -> TokenizedText:
    """Split and fold; articles after a preposition ("of the") are part of the gap."""
    starts: list[int] = []
    ends: list[int] = []
    folded: list[str] = []
    stems: list[str] = []
    previous = ""
    for match in WORD.finditer(text):
        surface = match[0]
        word, word_stem = _cached_fold(surface) if len(surface) <= MAX_CACHED else _fold_and_stem(surface)
        if word in ARTICLES and previous in PREPOSITIONS:
            continue
        previous = word
        starts.append(match.start())
        ends.append(match.end())
        folded.append(word)
        stems.append(word_stem)
    return TokenizedText(text, starts, ends, folded, stems)


def fold(surface: str) -> str:
    """A word without case, accents, invisible marks, possessive and inner hyphen; a Greek letter by its name."""
    bare = _DROPPED.sub("", _POSSESSIVE.sub("", surface))
    plain = "".join(c for c in unicodedata.normalize("NFKD", bare) if not (unicodedata.combining(c) or c.isspace()))
    plain = plain.casefold()
    return GREEK.get(plain) or plain or surface


def _fold_and_stem(surface: str) -> tuple[str, str]:
    word = fold(surface)
    return word, stem(word) if len(word) <= MAX_CACHED else word


_cached_fold = lru_cache(maxsize=200_000)(_fold_and_stem)
