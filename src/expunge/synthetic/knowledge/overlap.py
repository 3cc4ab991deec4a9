"""What the target of a world of knowledge shares with the other trained records, counted in the records.

The count can differ a little from the setting `overlap`, in small worlds and with words of two senses.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from expunge.corpus import Corpus, Record
from expunge.synthetic.knowledge.domain import TARGET


@dataclass(frozen=True)
class Overlap:
    """What trained target concepts share with the other trained records.

    Attributes:
        concepts: share of target concepts with a word of a retained name in theirs, in [0, 1]
        facts: share of target facts whose value is the answer of a retained record, in [0, 1]
        words: number of different words of target names that retained names have
        values: number of different values of target facts that are answers of retained records
    """

    concepts: float
    facts: float
    words: int
    values: int


def measure(corpus: Corpus, node: str) -> Overlap:
    """The overlap between L4 under `node` and all other trained records; zeros where there is no L4."""
    targets = [r for r in corpus.trained if r.concept == TARGET and r.path[:1] == (node,)]
    target_ids = {r.id for r in targets}
    others = [r for r in corpus.trained if r.id not in target_ids]
    words, answers = _words(others), {r.answer.casefold() for r in others}
    names = {r.subject: _words([r]) for r in targets}
    facts = {key: r.answer.casefold() for r in targets for key in r.fact_keys}
    return Overlap(
        _share([bool(name & words) for name in names.values()]),
        _share([answer in answers for answer in facts.values()]),
        len(words & set().union(*names.values())),
        len(answers & set(facts.values())),
    )


def _words(records: Iterable[Record]) -> set[str]:
    """Words of the identifiers, without letter case."""
    return {w.casefold() for r in records for name in r.identifiers for w in re.findall(r"[^\W\d_]+", name)}


def _share(hits: Collection[bool]) -> float:
    return sum(hits) / max(len(hits), 1)
