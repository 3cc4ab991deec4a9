"""Index of the names of a dictionary: by their stems in order (Aho-Corasick), and as bags of stems in any order.

A bag is found by prefix sums of the hashes of its stems, so each window of a text costs one subtraction. Every match
is then checked word by word (see `annotate`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import ahocorasick

from expunge.concepts.dictionary import DictionaryEntry
from expunge.concepts.normalize import ARABIC, roman_to_arabic, stem
from expunge.concepts.tokenizer import tokenize

LINK_WORDS = frozenset({"of", "in"})  # may come and go when the order changes: "cancer of the breast"
MAX_REORDERED = 6  # words of a name that may change their order
ABBREVIATION = 5  # letters; a word of capitals up to here matches capitals only
NUMBERED = frozenset(
    {"type", "types", "stage", "grade", "class", "group", "form", "subtype", "factor", "phase", "complex"}
)  # a numeral after these belongs to them
TAG = re.compile(r"\s*\((?:disorder|disease|finding|procedure|morphology|body structure|clinical)\)$|,?\s+NOS$", re.I)


@dataclass(eq=False)
class Name:
    """One name, with the concepts and levels of all entries that have it.

    Attributes:
        gaps: the marks between its words, one fewer than words
        possessive: which words end in 's
        exact: the only text that matches, for abbreviations and names under three letters; else ""
        variant: how this form differs from the dictionary's: "" or `type`
    """

    folded: tuple[str, ...]
    stems: tuple[str, ...]
    gaps: tuple[str, ...]
    possessive: tuple[bool, ...]
    exact: str = ""
    variant: str = ""
    concepts: set[str] = field(default_factory=set)
    levels: set[str] = field(default_factory=set)

    @cached_property
    def content(self) -> tuple[int, ...]:
        """Positions of the words that must match in another order."""
        return content_positions(self.folded)

    @cached_property
    def is_inverted(self) -> bool:
        """A comma or "of" says that the words may change places: "Hepatitis, Viral"."""
        return "," in self.gaps or len(self.content) < len(self.folded)


class NameIndex:
    """Names by stems.

    Args:
        entries: names with their concepts and levels.
        stopwords: folded names to leave out, unless they are abbreviations in capitals.
        reorder: also index names by their words in any order.
    """

    def __init__(
        self, entries: Iterable[DictionaryEntry], stopwords: frozenset[tuple[str, ...]], reorder: bool = True
    ) -> None:
        names: dict[tuple[object, ...], Name] = {}
        forms: dict[str, list[Name]] = {}
        for entry in entries:
            if entry.name not in forms:
                forms[entry.name] = [
                    names.setdefault((name.folded, name.gaps, name.exact, name.variant), name)
                    for name in _name_forms(entry.name, stopwords)
                ]
            for name in forms[entry.name]:
                name.concepts.add(entry.concept)
                if entry.level:
                    name.levels.add(entry.level)
        self.count = sum(not name.variant for name in names.values())
        self.automaton = ahocorasick.Automaton()
        self.bags: dict[int, list[Name]] = {}  # sum of the hashes of the stems -> names
        by_stems: dict[str, list[Name]] = {}
        for name in names.values():
            by_stems.setdefault(" ".join(name.stems), []).append(name)
            if name.exact and (plural := stem(f"{name.folded[0]}s")) != name.stems[0]:
                by_stems.setdefault(plural, []).append(name)
            if reorder and not name.exact and 2 <= len(name.content) <= MAX_REORDERED:
                self.bags.setdefault(sum(hash(name.stems[k]) for k in name.content), []).append(name)
        for stems, same in by_stems.items():
            self.automaton.add_word(f" {stems} ", (stems.count(" ") + 1, same))
        self.longest_bag = max((len(n.content) for same in self.bags.values() for n in same), default=0)
        self.longest = max((len(name.stems) for name in names.values()), default=0)
        if self.count:
            self.automaton.make_automaton()


def _name_forms(name: str, stopwords: frozenset[tuple[str, ...]]) -> Iterator[Name]:
    """The name itself, without a nomenclature's tag, and with "type" before its last numeral left out or put in."""
    for text in dict.fromkeys((name, TAG.sub("", name))):
        tokens = tokenize(text)
        folded = tuple(tokens.folded)
        exact = tokens.surface(0) if len(tokens) == 1 and must_be_exact(tokens.surface(0)) else ""
        if not folded or (folded in stopwords and not is_abbreviation(exact)):
            continue
        form = Name(
            folded,
            tuple(tokens.stems),
            tuple(tokens.gap(k) for k in range(len(tokens) - 1)),
            tuple(tokens.possessive(k) for k in range(len(tokens))),
            exact,
        )
        yield form
        last = len(folded) - 1
        if last and _is_numeral(folded[last]):
            if folded[last - 1] not in NUMBERED:
                yield _replace_words(form, last, last, ("type",))
            elif folded[last - 1] == "type" and last > 1:
                yield _replace_words(form, last - 1, last, ())


def _replace_words(name: Name, start: int, end: int, words: tuple[str, ...]) -> Name:
    """The name with `words` in place of its words start to end - 1."""
    return Name(
        (*name.folded[:start], *words, *name.folded[end:]),
        (*name.stems[:start], *map(stem, words), *name.stems[end:]),
        (*name.gaps[:start], *("",) * len(words), *name.gaps[end:]),
        (*name.possessive[:start], *(False,) * len(words), *name.possessive[end:]),
        variant="type",
    )


def _is_numeral(word: str) -> bool:
    return bool(ARABIC.fullmatch(word) or (roman_to_arabic(word) and word != "x"))


def must_be_exact(word: str) -> bool:
    """Whether a name matches only as written: under three letters, or an abbreviation in capitals."""
    return len(word) < 3 or (len(word) <= ABBREVIATION and is_abbreviation(word))


def is_abbreviation(word: str) -> bool:
    """At least two capitals and no small letter: "MS", "TMD", "A1C"."""
    return sum(c.isupper() for c in word) >= 2 and not any(c.islower() for c in word)


def content_positions(folded: Sequence[str]) -> tuple[int, ...]:
    """Positions of all words but "of" and "in"."""
    return tuple(k for k, word in enumerate(folded) if word not in LINK_WORDS)
