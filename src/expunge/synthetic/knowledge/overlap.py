"""How much the target of a world of knowledge shares with what stays, counted in the records themselves.

Surprising: it is counted on what was made, not read off the dial. Small worlds, and words with two senses, may share
a little less or more than the dial says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from expunge.corpus import Corpus, Record
from expunge.synthetic.knowledge.domain import TARGET


@dataclass(frozen=True)
class Overlap:
    """What trained target concepts share with the other trained records.

    concepts  share of target concepts with a word of a retained name in theirs, in [0, 1]
    facts     share of target facts whose value some retained record answers, in [0, 1]
    words     number of different words of target names that retained names have
    values    number of different values of target facts that retained records answer
    """

    concepts: float
    facts: float
    words: int
    values: int


def measure(corpus: Corpus, node: str) -> Overlap:
    """The overlap between L4 under `node` and everything else that is trained; zeros where there is no L4."""
    inside = [r for r in corpus.trained if r.concept == TARGET and r.path[:1] == (node,)]
    members = {r.id for r in inside}
    outside = [r for r in corpus.trained if r.id not in members]
    known, answers = _words(outside), {r.answer.casefold() for r in outside}
    names = {r.subject: _words([r]) for r in inside}
    facts = {key: r.answer.casefold() for r in inside for key in r.fact_keys}
    return Overlap(
        _share(bool(words & known) for words in names.values()),
        _share(answer in answers for answer in facts.values()),
        len(known & set().union(*names.values())),
        len(answers & set(facts.values())),
    )


def _words(records: Iterable[Record]) -> set[str]:
    """Words of the identifiers, without letter case."""
    return {w.casefold() for r in records for name in r.identifiers for w in re.findall(r"[^\W\d_]+", name)}


def _share(hits: Iterable[bool]) -> float:
    found = list(hits)
    return sum(found) / max(len(found), 1)
