"""Words with two senses, each beside a term that is as frequent and has one sense only.

Both senses of a word are asked in the same wording with the same options. Surprising: two controls are needed. A term
of one sense answers other kinds of question, so a word whose target sense is spared stands beside it: the same kind of
question, the same two senses, and nothing of it is to be forgotten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from expunge.audit.scores import Scores, Values
from expunge.bench.concepts.cell import Sets
from expunge.corpus import Record
from expunge.errors import InputError
from expunge.random import uniform

TERM = "polyseme"  # attribute of a record that such a word answers
SENSE = "sense"  # its sense there: target or other
SIDES = ("target", "other", "control", "spared")
Group = tuple[Record, ...]


@dataclass(frozen=True)
class Word:
    """A word and its records by side.

    target, other, control  of a word whose target sense is to be forgotten; `control` is its term of one sense
    spared                  the other sense of a word whose target sense stays; it has no other sides
    given                   runs are given the other sense; if not, neither that nor the control
    """

    word: str
    sides: Mapping[str, Group]
    given: bool

    @property
    def forgotten(self) -> bool:
        """Is its target sense to be forgotten?"""
        return "target" in self.sides


def words(sets: Sets) -> tuple[Word, ...]:
    """Every word whose other sense stays, sorted.

    control  a fact of a level that stays, from the same side of the split, whose answer is taught as often as the word
             in both senses together, or as nearly as there is one; no fact serves twice
    `InputError` if no target sense is to be forgotten, or no term is left to compare with.
    """
    target = _of_sense(sets.forget, "target")
    found: list[Word] = []
    taught = Counter(r.answer for r in sets.corpus.trained)
    for given, side in ((True, sets.split.retain), (False, sets.retain_heldout)):
        terms = _terms(side)
        for word, other in sorted(_of_sense(side, "other").items()):
            if word not in target:
                found.append(Word(word, {"spared": other}, given))
                continue
            if not terms:
                raise InputError(
                    "polysemy",
                    f"there are fewer terms than words with two senses beside {word}",
                    "choose a larger world",
                )
            key = min(terms, key=lambda k: (abs(taught[terms[k][0].answer] - taught[word]), uniform("control", k), k))
            found.append(Word(word, {"target": target[word], "other": other, "control": terms.pop(key)}, given))
    if not any(w.forgotten for w in found):
        raise InputError("polysemy", "the target holds no word with two senses", "set polysemes of the world")
    return tuple(sorted(found, key=lambda w: w.word))


def _of_sense(records: Sequence[Record], sense: str) -> dict[str, Group]:
    found: dict[str, list[Record]] = {}
    for r in records:
        if r.attributes.get(TERM) and r.attributes[SENSE] == sense:
            found.setdefault(r.attributes[TERM], []).append(r)
    return {word: tuple(of) for word, of in found.items()}


def _terms(records: Sequence[Record]) -> dict[str, Group]:
    """Fact → its records, of levels that stay; words with two senses left out."""
    found: dict[str, list[Record]] = {}
    for r in records:
        if r.concept != "L4" and not r.attributes.get(TERM):
            found.setdefault(min(r.fact_keys), []).append(r)
    return {fact: tuple(of) for fact, of in found.items()}


def asked(found: Sequence[Word]) -> Group:
    """All their records, each once."""
    return tuple({r.id: r for w in found for of in w.sides.values() for r in of}.values())


def by_side(
    found: Sequence[Word], values: Mapping[str, float], sides: Sequence[str] = SIDES
) -> dict[str, dict[str, float]]:
    """Side → word → mean of `values` (record → value) over its records on that side, for words that have it."""
    return {
        side: {w.word: sum(values[r.id] for r in of) / len(of) for w in found if (of := w.sides.get(side))}
        for side in sides
    }


def of_records(scores: Scores, values: Values) -> dict[str, float]:
    """Record → value, from `values` [N] in the order of `scores`."""
    return dict(zip(scores.ids, values.tolist(), strict=True))
