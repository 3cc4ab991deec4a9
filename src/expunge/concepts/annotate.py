"""The annotator: finds the names of a dictionary in a text, as spans with concepts and levels.

Names are looked up as stems, and every match is checked word by word. Differences in letter case, accents, hyphens,
number, British spelling, Roman numerals and word order are allowed, no others. The leftmost, then longest match wins;
spans never overlap. Names that differ only in these ways share a span with the ids of all and the highest level.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Sequence
from itertools import accumulate
from operator import sub

from expunge.concepts.assertion import assign_assertions
from expunge.concepts.dictionary import Dictionary
from expunge.concepts.name_index import NUMBERED, Name, NameIndex, content_positions, is_abbreviation
from expunge.concepts.normalize import variant
from expunge.concepts.span import Span
from expunge.concepts.stopwords import STOPWORDS, singular_and_plural
from expunge.concepts.tokenizer import APOSTROPHES, TokenizedText, tokenize
from expunge.errors import InputError

WordRange = tuple[int, int]  # first word, last word + 1
Match = tuple[Name, str]  # a name, and how the text differs from it


class Annotator:
    """Finds the names of a dictionary.

    Args:
        dictionary: names with their concepts and levels.
        stopwords: names to pass over, compared without case, in singular and plural; `STOPWORDS | {...}` adds names.
        reorder: also find the words of a name in another order ("cancer of the breast" for "breast cancer").
        assertions: also set `negated` and `assertion` of the spans.

    Raises:
        InputError: the dictionary holds no name.
    """

    def __init__(
        self,
        dictionary: Dictionary,
        stopwords: Collection[str] = STOPWORDS,
        *,
        reorder: bool = True,
        assertions: bool = True,
    ) -> None:
        if not len(dictionary):
            raise InputError("dictionary", "holds no names", "make one with `expunge concepts build`")
        self._stopwords = singular_and_plural(stopwords)
        self._names = NameIndex(dictionary, self._stopwords, reorder)
        self._assertions = assertions

    def __len__(self) -> int:
        """Number of different names in the index."""
        return self._names.count

    def annotate(self, text: str) -> tuple[Span, ...]:
        """The spans of `text` from left to right."""
        if not self._names.count:
            return ()
        tokens = tokenize(text)
        matches = self._ordered_matches(tokens)
        ends: dict[int, list[int]] = {}
        for first, last in matches:
            ends.setdefault(first, []).append(last)
        for (first, last), reordered in self._reordered_matches(tokens).items():
            near = ((k, end) for k in range(max(0, first - self._names.longest), last) for end in ends.get(k, ()))
            if (first, last) in matches:
                matches[first, last] += reordered
            elif not any(_cross((first, last), other) for other in near):
                matches[first, last] = reordered
        spans: list[Span] = []
        free = 0
        for first, last in sorted(matches, key=lambda words: (words[0], -words[1])):
            if first >= free:
                spans.append(_span(tokens, first, last, matches[first, last]))
                free = last
        return assign_assertions(text, spans) if self._assertions else tuple(spans)

    def _ordered_matches(self, tokens: TokenizedText) -> dict[WordRange, list[Match]]:
        joined = f" {' '.join(tokens.stems)} "
        offsets = list(accumulate((len(stem) + 1 for stem in tokens.stems), initial=0))
        matches: dict[WordRange, list[Match]] = {}
        for end, (size, names) in self._names.automaton.iter(joined):
            last = bisect_left(offsets, end)
            first = last - size
            here = [(name, v) for name in names if (v := self._variant(tokens, first, last, name)) is not None]
            if here:
                matches[first, last] = here
        return matches

    def _reordered_matches(self, tokens: TokenizedText) -> dict[WordRange, list[Match]]:
        bags, positions = self._names.bags, content_positions(tokens.folded)
        sums = list(accumulate((hash(tokens.stems[k]) for k in positions), initial=0))
        matches: dict[WordRange, list[Match]] = {}
        for size in range(2, min(self._names.longest_bag, len(positions)) + 1):
            for at, bag in enumerate(map(sub, sums[size:], sums)):
                if bag in bags:
                    window = positions[at : at + size]
                    here = [
                        (name, v)
                        for name in bags[bag]
                        if len(name.content) == size and (v := _reordered_variant(tokens, window, name)) is not None
                    ]
                    if here:
                        matches[window[0], window[-1] + 1] = here
        return matches

    def _variant(self, tokens: TokenizedText, first: int, last: int, name: Name) -> str | None:
        """How the words first to last - 1 differ from the name; None if they do not match."""
        if name.exact:
            return self._abbreviation_variant(tokens, first, name.exact)
        variants = [name.variant]
        for k, word in enumerate(name.folded, first):
            difference = "" if word == tokens.folded[k] else _word_variant(word, tokens, k, len(name.folded))
            if difference is None:
                return None
            variants.append(difference)
        if tuple(tokens.folded[first:last]) in self._stopwords and last - first == 1:
            return None
        for k, mark in enumerate(name.gaps, first):
            gap = tokens.gap(k)
            if gap == mark:
                continue
            if gap and not (gap == "," and tokens.folded[k + 1] in NUMBERED):
                return None
            variants.append("punctuation")
        if any(possessive != tokens.possessive(k) for k, possessive in enumerate(name.possessive, first)):
            variants.append("possessive")
        return _join(variants)

    def _abbreviation_variant(self, tokens: TokenizedText, k: int, exact: str) -> str | None:
        surface = tokens.surface(k)
        if not surface.startswith(exact):
            return None
        rest = surface[len(exact) :]
        if rest and not (is_abbreviation(exact) and rest.strip(APOSTROPHES) == "s"):
            return None
        if (tokens.folded[k],) in self._stopwords and _beside_capitals(tokens, k):
            return None
        return "" if not rest else "possessive" if len(rest) > 1 else "number"


def _word_variant(word: str, tokens: TokenizedText, k: int, size: int) -> str | None:
    """How word k of the text differs from `word` of a name of `size` words; None if it does not match.

    One letter is a numeral only after a word such as "type": "type I", not "chromosome X" for "chromosome 10".
    """
    other = tokens.folded[k]
    difference = variant(word, other)
    if difference != "numeral":
        return difference if difference != "synonym" or size > 1 else None
    numeral = other if word[0].isdigit() else word
    numbered = k > 0 and tokens.folded[k - 1] in NUMBERED and (numeral == word or tokens.surface(k)[0].isupper())
    return difference if size > 1 and (numbered or len(numeral) > 1) else None


def _reordered_variant(tokens: TokenizedText, window: Sequence[int], name: Name) -> str | None:
    """How the words of `window` differ from a name of the same words in another order; None if they do not match."""
    if any(tokens.gap(k) for k in range(window[0], window[-1])):
        return None
    name_stems = [name.stems[k] for k in name.content]
    text_stems = [tokens.stems[k] for k in window]
    linked = len(window) <= window[-1] - window[0]  # by "of" or "in"
    if sorted(name_stems) != sorted(text_stems) or (name_stems == text_stems and not (linked and "," in name.gaps)):
        return None
    if len(name_stems) == 2 and name_stems != text_stems and linked == name.is_inverted:
        return None
    if [s for s in name_stems if s.isdigit()] != [s for s in text_stems if s.isdigit()]:
        return None
    left = list(window)
    variants = ["order", name.variant]
    for at in name.content:
        options = [
            (difference, k)
            for k in left
            if tokens.stems[k] == name.stems[at]
            and (difference := _word_variant(name.folded[at], tokens, k, 2)) is not None
        ]
        if not options:
            return None
        difference, k = min(options)
        left.remove(k)
        variants.append(difference)
    return _join(variants)


def _span(tokens: TokenizedText, first: int, last: int, matches: Sequence[Match]) -> Span:
    start, end = tokens.starts[first], tokens.ends[last - 1]
    return Span(
        start,
        end,
        tokens.text[start:end],
        tuple(sorted({c for name, _ in matches for c in name.concepts})),
        max((level for name, _ in matches for level in name.levels), default=None),
        levels=tuple(sorted({level for name, _ in matches for level in name.levels})),
        variant=min((v for _, v in matches), key=lambda v: (v.count("+") + bool(v), v)),
    )


def _cross(one: WordRange, other: WordRange) -> bool:
    """Whether two ranges overlap without one inside the other."""
    return one[0] < other[0] < one[1] < other[1] or other[0] < one[0] < other[1] < one[1]


def _beside_capitals(tokens: TokenizedText, k: int) -> bool:
    """Whether a word beside word k is in capitals, too, so that its own capitals mark no abbreviation."""
    neighbors = [tokens.surface(n) for n in (k - 1, k + 1) if 0 <= n < len(tokens)]
    return any(len(word) > 1 and word.isupper() for word in neighbors)


def _join(variants: Sequence[str]) -> str:
    return "+".join(sorted({part for each in variants for part in each.split("+") if part}))
