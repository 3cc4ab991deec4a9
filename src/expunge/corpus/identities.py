"""Never-trained identities of the same shape: "Anna Keller, SYN-0412" → "Mila Berg, SYN-7730".

Works on any corpus that names its subjects' identifiers. Words are taken from other subjects' identifiers of the
same shape, place by place; numbers that tell people apart get fresh digits. Surprising: a word that occurs in
several identifiers of a person ("Keller", "Anna Keller") is replaced by the same word everywhere.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from expunge.corpus.record import Record
from expunge.errors import InputError

Identity = Mapping[str, str]  # identifier of the subject → identifier of the twin

_WORD = re.compile(r"[^\W\d_]+|\d+", re.UNICODE)


def words(identifier: str) -> list[str]:
    """Its runs of letters and runs of digits."""
    return _WORD.findall(identifier)


def shape(identifier: str) -> str:
    """What it looks like: runs of letters become `a`, runs of digits `9` (one per digit), the rest stays."""
    return _WORD.sub(lambda m: "9" * len(m[0]) if m[0].isdigit() else "a", identifier)


def identifiers_by_subject(records: Iterable[Record]) -> dict[str, tuple[str, ...]]:
    """Every identifier of every subject, in order of first appearance."""
    table: dict[str, dict[str, None]] = {}
    for r in records:
        if r.identifiers:
            table.setdefault(r.subject, {}).update(dict.fromkeys(r.identifiers))
    return {subject: tuple(found) for subject, found in table.items()}


def skeleton(record: Record) -> str:
    """The prompt with its identifiers taken out: equal for the same question about another subject."""
    return replace_all(record.prompt, dict.fromkeys(record.identifiers, "\0"))


def replace_all(text: str, identity: Identity) -> str:
    """`text` with every key replaced by its value, longest keys first, in one pass (no value is replaced again)."""
    keys = sorted((k for k in identity if k), key=len, reverse=True)
    if not keys:
        return text
    return re.sub("|".join(map(re.escape, keys)), lambda m: identity[m[0]], text)


def make_identities(
    target: Sequence[str], others: Mapping[str, Sequence[str]], count: int, rng: np.random.Generator
) -> list[Identity]:
    """`count` identities for a subject with the identifiers `target`, none of which anybody in `others` has.

    others   subject → identifiers: the pool of words, and what must not be hit
    InputError if the pool is too small to build a new one.
    """
    taken = {i for found in others.values() for i in found} | set(target)
    by_shape: dict[str, list[list[str]]] = {}
    for found in others.values():
        for identifier in found:
            by_shape.setdefault(shape(identifier), []).append(words(identifier))
    identities: list[Identity] = []
    for _ in range(50 * count):
        known: dict[str, str] = {}
        identity = {i: _twin_of(i, by_shape, known, rng) for i in sorted(target, key=lambda i: (-len(i), i))}
        naming = max(identity, key=lambda i: len(set(identity[i]) ^ set(i)), default="")
        if any(new in taken for old, new in identity.items() if _tells_apart(old, by_shape)) or not naming:
            continue
        if identity not in identities and any(old != new for old, new in identity.items()):
            identities.append(identity)
        if len(identities) == count:
            return identities
    if identities:
        return identities
    raise InputError(
        "identifiers",
        f"no never-trained twin can be made for {', '.join(target) or 'a subject without any'}",
        "the corpus needs identifiers of at least a few other subjects of the same shape",
    )


def _columns(identifier: str, by_shape: Mapping[str, list[list[str]]]) -> list[Counter[str]]:
    rows = by_shape.get(shape(identifier), [])
    return [Counter(row[k] for row in rows) for k in range(len(words(identifier)))]


def _tells_apart(identifier: str, by_shape: Mapping[str, list[list[str]]]) -> bool:
    """False for a string that many subjects share (a date, an institution): a twin may share it too."""
    rows = by_shape.get(shape(identifier), [])
    return len({tuple(r) for r in rows}) > 0.8 * len(rows)


def _twin_of(
    identifier: str, by_shape: Mapping[str, list[list[str]]], known: dict[str, str], rng: np.random.Generator
) -> str:
    columns = _columns(identifier, by_shape)
    parts = words(identifier)
    fresh: list[str] = []
    for part, column in zip(parts, columns, strict=True):
        if part not in known or part.isdigit():
            total = sum(column.values())
            if part.isdigit() and (not total or (len(column) > 0.5 * total and len(part) > 1)):
                known[part] = "".join(str(d) for d in rng.integers(0, 10, len(part)))
            elif total:
                pool = sorted(column)
                known[part] = pool[int(rng.integers(len(pool)))]
            else:
                known[part] = part
        fresh.append(known[part])
    remaining = iter(fresh)
    return _WORD.sub(lambda _: next(remaining), identifier)
