"""The index of a dictionary's names: exact order by Aho–Corasick over stems, other orders by sums of hashes.

Each name is kept once, as folded words and the marks between them. Surprising: a bag of words is found by prefix sums
of its words' hashes, so that every window of a text costs one subtraction; each find is then checked word by word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import ahocorasick

from expunge.concepts.dictionary import DictionaryEntry
from expunge.concepts.normalize import ARABIC, key, roman
from expunge.concepts.tokenizer import words

LOOSE = frozenset({"of", "in"})  # may come and go when the order changes: "cancer of the breast"
MOST = 6  # words of a name that may change their order
ABBREVIATION = 5  # letters; a word of capitals up to here is meant in capitals only
NUMBERED = frozenset(
    {"type", "types", "stage", "grade", "class", "group", "form", "subtype", "factor", "phase", "complex"}
)  # a numeral after these belongs to them
TAG = re.compile(r"\s*\((?:disorder|disease|finding|procedure|morphology|body structure|clinical)\)$|,?\s+NOS$", re.I)


@dataclass(eq=False)
class Name:
    """One name and all that it stands for.

    folded, keys, gaps  its words, their stems, and the marks between them (one fewer)
    possessive          which words end in 's
    exact               what must stand in the text, for abbreviations and names under three letters; else ""
    way                 how this wording differs from the dictionary's: "" or `type`
    concepts, levels    of all entries with this name
    """

    folded: tuple[str, ...]
    keys: tuple[str, ...]
    gaps: tuple[str, ...]
    possessive: tuple[bool, ...]
    exact: str = ""
    way: str = ""
    concepts: set[str] = field(default_factory=set)
    levels: set[str] = field(default_factory=set)

    @cached_property
    def content(self) -> tuple[int, ...]:
        """Positions of the words that count when the order changes."""
        return content(self.folded)

    @cached_property
    def turns(self) -> bool:
        """A comma or "of" says that the order may turn round: "Hepatitis, Viral"."""
        return "," in self.gaps or len(self.content) < len(self.folded)


class NameIndex:
    """What the annotator looks up.

    stop   folded names that are left out, unless they are abbreviations in capitals
    order  also index names by their words in any order
    """

    def __init__(
        self, entries: Iterable[DictionaryEntry], stop: frozenset[tuple[str, ...]], order: bool = True
    ) -> None:
        known: dict[tuple[object, ...], Name] = {}
        wordings: dict[str, list[Name]] = {}
        for entry in entries:
            if entry.name not in wordings:
                wordings[entry.name] = [
                    known.setdefault((name.folded, name.gaps, name.exact, name.way), name)
                    for name in _wordings(entry.name, stop)
                ]
            for name in wordings[entry.name]:
                name.concepts.add(entry.concept)
                if entry.level:
                    name.levels.add(entry.level)
        self.count = sum(not name.way for name in known.values())
        self.automaton = ahocorasick.Automaton()
        self.bags: dict[int, list[Name]] = {}
        by_keys: dict[str, list[Name]] = {}
        for name in known.values():
            by_keys.setdefault(" ".join(name.keys), []).append(name)
            if name.exact and (many := key(f"{name.folded[0]}s")) != name.keys[0]:
                by_keys.setdefault(many, []).append(name)
            if order and not name.exact and 2 <= len(name.content) <= MOST:
                self.bags.setdefault(sum(hash(name.keys[k]) for k in name.content), []).append(name)
        for keys, found in by_keys.items():
            self.automaton.add_word(f" {keys} ", (keys.count(" ") + 1, found))
        self.longest_bag = max((len(n.content) for found in self.bags.values() for n in found), default=0)
        self.longest = max((len(name.keys) for name in known.values()), default=0)
        if self.count:
            self.automaton.make_automaton()


def _wordings(name: str, stop: frozenset[tuple[str, ...]]) -> Iterator[Name]:
    """The name itself, without a nomenclature's tag, and with "type" before its last numeral left out or put in."""
    for text in dict.fromkeys((name, TAG.sub("", name))):
        parts = words(text)
        folded = tuple(parts.folded)
        exact = parts.surface(0) if len(parts) == 1 and must_be_exact(parts.surface(0)) else ""
        if not folded or (folded in stop and not abbreviates(exact)):
            continue
        found = Name(
            folded,
            tuple(parts.keys),
            tuple(parts.gap(k) for k in range(len(parts) - 1)),
            tuple(parts.possessive(k) for k in range(len(parts))),
            exact,
        )
        yield found
        at = len(folded) - 1
        if at and _numeral(folded[at]):
            if folded[at - 1] not in NUMBERED:
                yield _changed(found, at, at, ("type",))
            elif folded[at - 1] == "type" and at > 1:
                yield _changed(found, at - 1, at, ())


def _changed(name: Name, start: int, end: int, put: tuple[str, ...]) -> Name:
    """The name with the words `put` in place of its words start … end - 1."""
    return Name(
        (*name.folded[:start], *put, *name.folded[end:]),
        (*name.keys[:start], *map(key, put), *name.keys[end:]),
        (*name.gaps[:start], *("",) * len(put), *name.gaps[end:]),
        (*name.possessive[:start], *(False,) * len(put), *name.possessive[end:]),
        way="type",
    )


def _numeral(word: str) -> bool:
    return bool(ARABIC.fullmatch(word) or (roman(word) and word != "x"))


def must_be_exact(word: str) -> bool:
    """Names under three letters, and abbreviations in capitals, stand for themselves only as they are written."""
    return len(word) < 3 or (len(word) <= ABBREVIATION and abbreviates(word))


def abbreviates(word: str) -> bool:
    """At least two capitals and no small letter: "MS", "TMD", "A1C"."""
    return sum(c.isupper() for c in word) >= 2 and not any(c.islower() for c in word)


def content(folded: Sequence[str]) -> tuple[int, ...]:
    """Positions of all words but "of" and "in"."""
    return tuple(k for k, word in enumerate(folded) if word not in LOOSE)
