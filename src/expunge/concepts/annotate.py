"""The annotator: a text and a dictionary of names in, spans with concepts and levels out.

Names are looked up as stems (Aho–Corasick), and every find is checked word by word against the text, so letter case,
accents, hyphens, number, British spelling, Roman numerals and turned order are allowed for and nothing else is.
Leftmost wins, then longest; spans never overlap. Surprising: names that differ only in these ways share a span, which
carries the ids of all of them and the highest level.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Sequence
from itertools import accumulate
from operator import sub

from expunge.concepts.assertion import judge
from expunge.concepts.dictionary import Dictionary
from expunge.concepts.name_index import NUMBERED, Name, NameIndex, abbreviates, content
from expunge.concepts.normalize import how
from expunge.concepts.span import Span
from expunge.concepts.stopwords import STOP, singular_and_plural
from expunge.concepts.tokenizer import APOSTROPHES, TokenizedText, words
from expunge.errors import InputError

__all__ = ["STOP", "Annotator", "Span"]

Place = tuple[int, int]  # first word, last word + 1
Find = tuple[Name, str]  # a name, and how the text differs from it


class Annotator:
    """Finds the names of `dictionary`, except those in `stop`.

    stop      names to pass over, compared without case, in singular and plural; `STOP | {…}` adds to the shipped list
    order     also find words of a name in another order ("cancer of the breast" for "breast cancer")
    context   also say which mentions are negated, or about the family, the past or a possibility
    `InputError` for a dictionary that holds no name.
    """

    def __init__(
        self, dictionary: Dictionary, stop: Collection[str] = STOP, *, order: bool = True, context: bool = True
    ) -> None:
        if not len(dictionary):
            raise InputError("dictionary", "holds no names", "make one with `expunge concepts build`")
        self._stop = singular_and_plural(stop)
        self._names = NameIndex(dictionary, self._stop, order)
        self._context = context

    def __len__(self) -> int:
        """Different names that are looked for."""
        return self._names.count

    def annotate(self, text: str) -> tuple[Span, ...]:
        """The spans of `text` from left to right."""
        if not self._names.count:
            return ()
        said = words(text)
        found = self._in_order(said)
        lasts: dict[int, list[int]] = {}
        for first, last in found:
            lasts.setdefault(first, []).append(last)
        for (first, last), finds in self._turned(said).items():
            near = ((k, end) for k in range(max(0, first - self._names.longest), last) for end in lasts.get(k, ()))
            if (first, last) in found:
                found[first, last] += finds
            elif not any(_cross((first, last), other) for other in near):
                found[first, last] = finds
        spans: list[Span] = []
        free = 0
        for first, last in sorted(found, key=lambda p: (p[0], -p[1])):
            if first >= free:
                spans.append(_span(said, first, last, found[first, last]))
                free = last
        return judge(text, spans) if self._context else tuple(spans)

    def _in_order(self, said: TokenizedText) -> dict[Place, list[Find]]:
        joined = f" {' '.join(said.keys)} "
        begins = list(accumulate((len(key) + 1 for key in said.keys), initial=0))
        found: dict[Place, list[Find]] = {}
        for end, (size, names) in self._names.automaton.iter(joined):
            last = bisect_left(begins, end)
            first = last - size
            finds = [(name, why) for name in names if (why := self._why(said, first, last, name)) is not None]
            if finds:
                found[first, last] = finds
        return found

    def _turned(self, said: TokenizedText) -> dict[Place, list[Find]]:
        bags, longest = self._names.bags, self._names.longest_bag
        where = content(said.folded)
        sums = list(accumulate((hash(said.keys[k]) for k in where), initial=0))
        found: dict[Place, list[Find]] = {}
        for size in range(2, min(longest, len(where)) + 1):
            for at, bag in enumerate(map(sub, sums[size:], sums)):
                if bag in bags:
                    window = where[at : at + size]
                    finds = [
                        (name, why)
                        for name in bags[bag]
                        if len(name.content) == size and (why := _turn(said, window, name)) is not None
                    ]
                    if finds:
                        found[window[0], window[-1] + 1] = finds
        return found

    def _why(self, said: TokenizedText, first: int, last: int, name: Name) -> str | None:
        """How the words first … last - 1 differ from the name; None if they are not the name."""
        if name.exact:
            return self._abbreviation(said, first, name.exact)
        ways = [name.way]
        for k, word in enumerate(name.folded):
            way = "" if word == said.folded[first + k] else _pair(word, said, first + k, len(name.folded))
            if way is None:
                return None
            ways.append(way)
        if tuple(said.folded[first:last]) in self._stop and last - first == 1:
            return None
        for k, mark in enumerate(name.gaps):
            gap = said.gap(first + k)
            if gap == mark:
                continue
            if gap and not (gap == "," and said.folded[first + k + 1] in NUMBERED):
                return None
            ways.append("punctuation")
        if any(owned != said.possessive(first + k) for k, owned in enumerate(name.possessive)):
            ways.append("possessive")
        return _join(ways)

    def _abbreviation(self, said: TokenizedText, k: int, exact: str) -> str | None:
        surface = said.surface(k)
        rest = surface[len(exact) :] if surface.startswith(exact) else None
        if rest is None or not (rest == "" or (abbreviates(exact) and rest.strip(APOSTROPHES) == "s")):
            return None
        if (said.folded[k],) in self._stop and _shouted(said, k):
            return None
        return "" if not rest else "possessive" if len(rest) > 1 else "number"


def _pair(word: str, said: TokenizedText, k: int, size: int) -> str | None:
    """Why word k of the text is `word` of a name of `size` words, or None.

    One letter is a numeral only where it is one for sure: "type I", not "chromosome X" for "chromosome 10".
    """
    other = said.folded[k]
    way = how(word, other)
    if way != "numeral":
        return way if way != "synonym" or size > 1 else None
    numeral = other if word[0].isdigit() else word
    sure = k > 0 and said.folded[k - 1] in NUMBERED and (numeral == word or said.surface(k)[0].isupper())
    return way if size > 1 and (sure or len(numeral) > 1) else None


def _turn(said: TokenizedText, window: Sequence[int], name: Name) -> str | None:
    """How the words of `window` differ from a name of the same words in another order; None if they are not it."""
    gaps = [said.gap(k) for k in range(window[0], window[-1])]
    if any(gaps):
        return None
    mine = [name.keys[k] for k in name.content]
    theirs = [said.keys[k] for k in window]
    joined = len(window) <= window[-1] - window[0]  # by "of" or "in"
    if sorted(mine) != sorted(theirs) or (mine == theirs and not (joined and "," in name.gaps)):
        return None
    if len(mine) == 2 and mine != theirs and joined == name.turns:
        return None
    if [key for key in mine if key.isdigit()] != [key for key in theirs if key.isdigit()]:
        return None
    left = list(window)
    ways = ["order", name.way]
    for at in name.content:
        fitting = [
            (way, k)
            for k in left
            if said.keys[k] == name.keys[at] and (way := _pair(name.folded[at], said, k, 2)) is not None
        ]
        if not fitting:
            return None
        way, k = min(fitting)
        left.remove(k)
        ways.append(way)
    return _join(ways)


def _span(said: TokenizedText, first: int, last: int, finds: Sequence[Find]) -> Span:
    start, end = said.starts[first], said.ends[last - 1]
    best = min((why for _, why in finds), key=lambda why: (why.count("+") + bool(why), why))
    return Span(
        start,
        end,
        said.text[start:end],
        tuple(sorted({c for name, _ in finds for c in name.concepts})),
        max((level for name, _ in finds for level in name.levels), default=None),
        variant=best,
    )


def _cross(one: Place, other: Place) -> bool:
    """Do two places overlap without one lying in the other?"""
    return one[0] < other[0] < one[1] < other[1] or other[0] < one[0] < other[1] < one[1]


def _shouted(said: TokenizedText, k: int) -> bool:
    """Are the words beside word k capitals, too, so that its capitals say nothing?"""
    beside = [said.surface(n) for n in (k - 1, k + 1) if 0 <= n < len(said)]
    return any(len(word) > 1 and word.isupper() for word in beside)


def _join(ways: Sequence[str]) -> str:
    return "+".join(sorted({part for way in ways for part in way.split("+") if part}))
