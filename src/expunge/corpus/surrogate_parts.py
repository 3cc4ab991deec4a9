"""Surrogates of a part of a person: the same person, and a part that nobody has ("study 2" → "study 7").

Where a person stays and a part goes, asking about another person teaches more than is to be forgotten. What identifies
a part is a number that questions of one kind differ by once names and options are taken out of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from expunge.corpus.record import Record
from expunge.corpus.surrogate_names import prompt_template_of
from expunge.corpus.surrogate_places import place_identities

MARKER = re.compile(r"([^\W\d_]+ )(\d+)\b")  # a word and its number
MOST = 9  # numbers of surrogates start with those up to here


def numbers_by_marker(records: Iterable[Record]) -> dict[tuple[str, str], set[str]]:
    """(question without its numbers, word before a number) → the numbers that stand there."""
    numbers: dict[tuple[str, str], set[str]] = {}
    for r in records:
        for key, _, number in _markers(r):
            numbers.setdefault(key, set()).add(number)
    return numbers


def _markers(record: Record) -> Iterator[tuple[tuple[str, str], str, str]]:
    template = prompt_template_of(record)
    question = MARKER.sub(lambda m: f"{m[1]}#", template).lower()
    for match in MARKER.finditer(template):
        yield (question, match[1].lower()), match[1], match[2]


def part_identities(
    records: Sequence[Record], others: Sequence[Record], count: int, rng: np.random.Generator
) -> list[dict[str, str]]:
    """`count` times: marker of a forgotten part, or its node → one that nobody has.

    Empty where nothing of the person is retained.

    Args:
        records: Records to forget, of one subject.
        others: Retained records, of this subject and of others.
        count: How many to draw.
        rng: Generator.
    """
    subject = records[0].subject
    if not subject or not any(r.subject == subject for r in others):
        return [{} for _ in range(count)]
    numbers = numbers_by_marker((*records, *others))
    vary = {key for key, there in numbers.items() if len(there) > 1}
    own = {(word, number) for r in records for key, word, number in _markers(r) if key in vary}
    words = {word.lower() for word, _ in own}
    taken = {number for key in vary if key[1] in words for number in numbers[key]}
    nodes = place_identities(records, others, count, rng, subject=False)
    return [{**node, **_draw(sorted(own), taken, rng)} for node in nodes]


def _draw(own: Sequence[tuple[str, str]], taken: set[str], rng: np.random.Generator) -> dict[str, str]:
    """Equal numbers get equal new ones."""
    free = [str(n) for n in range(1, MOST + len(taken) + 1) if str(n) not in taken]
    drawn: dict[str, str] = {}
    for _, number in own:
        if number not in drawn:
            drawn[number] = free.pop(int(rng.integers(len(free)))) if free else number
    return {f"{word}{number}": f"{word}{drawn[number]}" for word, number in own}


def names_part(prompt: str, part: Mapping[str, str]) -> bool:
    """Does the prompt hold a marker of the part?"""
    return any(re.search(rf"\b{re.escape(marker)}\b", prompt) for marker in part)
