"""Surrogate answers that nobody has but somebody could: "23 March 1976" → "14 August 1954".

Built place by place from other people's answers of the same form: where people share values (a month, a domain) one
of those, in other places a new one, so that a year still begins like a year. A word that no other answer has in its
place ("ragweed", where all others are allergic to drugs) becomes a word of answers to other questions, which a model
that never met the subject would find as unlikely.

Note: without answers to other questions nothing is invented for an answer of one word. An invented word ("digocillin")
is far less likely to a model than another person's answer, and a surrogate answer must be as likely.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from expunge.corpus.surrogate_names import WORD, coarse_shape, words


@dataclass(frozen=True)
class OtherAnswers:
    """Answers to questions of other types: their words without numbers, and whole answers by their form."""

    words: frozenset[str]
    whole: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, answers: Iterable[str]) -> OtherAnswers:
        whole: dict[str, list[str]] = {}
        for answer in sorted(set(answers)):
            whole.setdefault(coarse_shape(answer), []).append(answer)
        return cls(
            frozenset(w for forms in whole.values() for a in forms for w in words(a) if not w.isdigit()),
            {form: tuple(of_form) for form, of_form in whole.items()},
        )


def invent(
    answer: str, others: Sequence[str], count: int, rng: np.random.Generator, elsewhere: OtherAnswers | None = None
) -> list[str]:
    """Up to `count` distinct new answers shaped like `answer`; none is `answer` or one of `others`.

    Args:
        answer: The true answer.
        others: Answers of the same type; those of another form do not count.
        count: Most answers.
        rng: Generator.
        elsewhere: Answers to other questions. Where `answer` has a word that none of `others` has in its place, words
            come from here, or whole answers if it has no number. None: an answer of one word gets none.
    """
    parts = words(answer)
    alone = len(parts) == 1
    if not parts or (alone and not elsewhere):
        return []
    rows = [
        words(other)
        for other in dict.fromkeys(others)
        if coarse_shape(other) == coarse_shape(answer) and other != answer
    ]
    taken, invented = {answer, *others}, dict[str, None]()
    columns = list(zip(*rows, strict=True))
    fitting = (
        [
            _fitting(part, column, elsewhere.words, alone) if elsewhere else []
            for part, column in zip(parts, columns, strict=True)
        ]
        if rows
        else []
    )
    if alone and rows and not (fitting[0] or answer.isdigit()):
        return []
    is_new = any(fit and part not in column for part, column, fit in zip(parts, columns, fitting, strict=False))
    if elsewhere and is_new and not any(part.isdigit() for part in parts):
        whole = [a for a in elsewhere.whole.get(coarse_shape(answer), ()) if a not in taken]
        invented |= dict.fromkeys(whole[int(k)] for k in rng.permutation(len(whole))[:count])
    for _ in range(50 * count if rows else 0):
        if len(invented) == count:
            break
        new = _fill(
            answer,
            [
                fit[int(rng.integers(len(fit)))] if fit else new_part(column, rng)
                for column, fit in zip(columns, fitting, strict=True)
            ],
        )
        if new not in taken:
            invented[new] = None
    return list(invented)


def _fitting(part: str, column: Sequence[str], known: Collection[str], alone: bool) -> list[str]:
    """Words that may take a place: those that others have there if one of them has `part`; else `known` words.

    [] for a number, and where everybody's word is as rare as this one. `alone`: the word is the whole answer.
    """
    if part in column and not part.isdigit():
        return sorted(set(column))
    own = len(set(column)) == len(column) and not alone and part not in known
    return [] if part.isdigit() or own else sorted({*known} - set(column) - {part})


def _fill(answer: str, parts: Sequence[str]) -> str:
    remaining = iter(parts)
    return WORD.sub(lambda _: next(remaining), answer)


def new_part(column: Sequence[str], rng: np.random.Generator) -> str:
    """A new value for one place: one that people share, or the beginning of one value and the rest from others.

    The rest of a word comes from one other value, the rest of a number digit by digit from several.
    """
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
