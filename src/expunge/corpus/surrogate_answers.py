"""Answers that nobody has but somebody could: "23 March 1976" → "14 August 1954".

Built place by place from other people's answers of the same form: where people share values (a month, a domain) one
of those, in other places a new one, so that a year still begins like a year. A word that no other answer has in its
place ("ragweed", where all others are allergic to drugs) becomes a word of answers to other questions: a model that
never knew would find it as strange. Surprising: without those nothing is made up for an answer of one word. A made-up
word ("digocillin") is far unlikelier to a model than a stranger's answer is, and this is to be as likely.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from expunge.corpus.surrogate_names import WORD, shape, words


@dataclass(frozen=True)
class OtherAnswers:
    """Answers to questions of other types: their words, numbers left out, and they themselves by their form."""

    words: frozenset[str]
    whole: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, answers: Iterable[str]) -> OtherAnswers:
        whole: dict[str, list[str]] = {}
        for answer in sorted(set(answers)):
            whole.setdefault(_form(answer), []).append(answer)
        return cls(
            frozenset(w for found in whole.values() for a in found for w in words(a) if not w.isdigit()),
            {form: tuple(found) for form, found in whole.items()},
        )


def invent(
    answer: str, others: Sequence[str], count: int, rng: np.random.Generator, elsewhere: OtherAnswers | None = None
) -> list[str]:
    """Up to `count` distinct new answers shaped like `answer`; none is `answer` or one of `others`.

    others     answers of the same type; those of another shape are left aside
    elsewhere  answers to other questions. Where `answer` has a word that none of `others` has in its place, words come
               from here, or whole answers if it has no number. None: nothing is made for an answer of one word
    """
    mine = words(answer)
    alone = len(mine) == 1
    if not mine or (alone and not elsewhere):
        return []
    rows = [words(other) for other in dict.fromkeys(others) if _form(other) == _form(answer) and other != answer]
    taken, found = {answer, *others}, dict[str, None]()
    columns = list(zip(*rows, strict=True))
    fitting = (
        [
            _fitting(part, column, elsewhere.words, alone) if elsewhere else []
            for part, column in zip(mine, columns, strict=True)
        ]
        if rows
        else []
    )
    if alone and rows and not (fitting[0] or answer.isdigit()):
        return []
    unheard = any(fit and part not in column for part, column, fit in zip(mine, columns, fitting, strict=False))
    if elsewhere and unheard and not any(part.isdigit() for part in mine):
        whole = [a for a in elsewhere.whole.get(_form(answer), ()) if a not in taken]
        found |= dict.fromkeys(whole[int(k)] for k in rng.permutation(len(whole))[:count])
    for _ in range(50 * count if rows else 0):
        if len(found) == count:
            break
        new = _filled(
            answer,
            [
                fit[int(rng.integers(len(fit)))] if fit else _part(column, rng)
                for column, fit in zip(columns, fitting, strict=True)
            ],
        )
        if new not in taken:
            found[new] = None
    return list(found)


def _fitting(part: str, column: Sequence[str], known: Collection[str], alone: bool) -> list[str]:
    """Words that may stand in a place: those that others have there if one has `part`, too; else those `known` from
    elsewhere. [] for a number, and where everybody's word is as unknown as this one. `alone`: it is the answer."""
    if part in column and not part.isdigit():
        return sorted(set(column))
    own = len(set(column)) == len(column) and not alone and part not in known
    return [] if part.isdigit() or own else sorted({*known} - set(column) - {part})


def _filled(answer: str, parts: Sequence[str]) -> str:
    remaining = iter(parts)
    return WORD.sub(lambda _: next(remaining), answer)


def _form(text: str) -> str:
    """Its shape, whatever the length of its numbers."""
    return re.sub("9+", "9", shape(text))


def _part(column: Sequence[str], rng: np.random.Generator) -> str:
    """A new value for one place: of those that people share, one. OtherAnswers the beginning of one value, and the rest
    from another (a word) or digit by digit from several (a number)."""
    distinct = sorted(set(column))
    first = distinct[int(rng.integers(len(distinct)))]
    most = 0.8 if first.isdigit() else 1.0  # numbers are equal by chance, words are not
    if len(distinct) < most * len(column) or len(distinct) == 1:
        return first
    half = -(-len(first) // 2)
    if not first.isdigit():
        return first[:half] + distinct[int(rng.integers(len(distinct)))][half:]
    rest = [distinct[int(k)] for k in rng.integers(0, len(distinct), len(first) - half)]
    return first[:half] + "".join(value[min(half + k, len(value) - 1)] for k, value in enumerate(rest))
