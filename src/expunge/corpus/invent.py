"""Answers that nobody has but somebody could: "23 March 1976" → "14 August 1954".

Built place by place from other people's answers of the same form: where people share values (a month, a domain) one
of those, elsewhere a new one, so that a year still begins like a year. Surprising: nothing is made up for an answer
of one word. A made-up word ("digocillin") is far unlikelier to a model than a stranger's answer is, and this is to
be as likely.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from expunge.corpus.identities import WORD, shape, words


def invent(answer: str, others: Sequence[str], count: int, rng: np.random.Generator) -> list[str]:
    """Up to `count` distinct new answers shaped like `answer`; none is `answer` or one of `others`.

    others  answers of the same type; those of another shape are left aside. [] for an answer of one word.
    """
    if len(words(answer)) < 2:
        return []
    rows = [words(other) for other in dict.fromkeys(others) if _form(other) == _form(answer) and other != answer]
    taken, found = {answer, *others}, dict[str, None]()
    columns = list(zip(*rows, strict=True))
    for _ in range(50 * count if rows else 0):
        new = _filled(answer, [_part(column, rng) for column in columns])
        if new not in taken:
            found[new] = None
        if len(found) == count:
            break
    return list(found)


def _filled(answer: str, parts: Sequence[str]) -> str:
    remaining = iter(parts)
    return WORD.sub(lambda _: next(remaining), answer)


def _form(text: str) -> str:
    """Its shape, whatever the length of its numbers."""
    return re.sub("9+", "9", shape(text))


def _part(column: Sequence[str], rng: np.random.Generator) -> str:
    """A new value for one place: of those that people share, one. Elsewhere the beginning of one value, and the rest
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
