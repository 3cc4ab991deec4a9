"""Surrogate identities of the same shape: "Anna Keller, SYN-0412" → "Mila Berg, SYN-7730".

Works on any corpus whose records list the identifiers of their subjects. Words come from other subjects' identifiers
of the same shape, place by place; identifying numbers get fresh digits. A word that nobody else has becomes a word that
nobody has, so the surrogate is as new to a model as the subject would have been. A word that occurs in several
identifiers of a subject ("Keller", "Anna Keller") is replaced by the same word everywhere.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from expunge.corpus.name_forms import compose, name_pattern
from expunge.corpus.person_names import FAMILY, FEMALE, MALE
from expunge.corpus.record import Record
from expunge.errors import InputError

Identity = Mapping[str, str]  # identifier of the subject → identifier of the surrogate

WORD = re.compile(r"[^\W\d_]+|\d+", re.UNICODE)


def words(identifier: str) -> list[str]:
    """Its runs of letters and runs of digits."""
    return WORD.findall(identifier)


def shape(identifier: str) -> str:
    """Its shape: runs of letters become `a`, every digit becomes `9`, the rest stays."""
    return WORD.sub(lambda m: "9" * len(m[0]) if m[0].isdigit() else "a", identifier)


def coarse_shape(text: str) -> str:
    """Its shape without the lengths of its numbers."""
    return re.sub("9+", "9", shape(text))


def identifiers_by_subject(records: Iterable[Record]) -> dict[str, tuple[str, ...]]:
    """Every identifier of every subject, in order of first appearance."""
    table: dict[str, dict[str, None]] = {}
    for r in records:
        if r.identifiers:
            table.setdefault(r.subject, {}).update(dict.fromkeys(r.identifiers))
    return {subject: tuple(identifiers) for subject, identifiers in table.items()}


def prompt_template_of(record: Record) -> str:
    """The prompt without identifiers and options: equal for the same question about another subject."""
    return replace_all(record.prompt, dict.fromkeys((*record.identifiers, *record.options), "\0"))


def replace_all(text: str, identity: Identity) -> str:
    """`text` with every key replaced by its value, longest keys first, in one pass (no value is replaced again).

    A key is found in any Unicode form.
    """
    keys = sorted((k for k in identity if k), key=len, reverse=True)
    if not keys:
        return text
    values = {compose(k): identity[k] for k in reversed(keys)}
    return re.sub("|".join(map(name_pattern, keys)), lambda m: values[compose(m[0])], text)


def make_identities(
    target: Sequence[str], others: Mapping[str, Sequence[str]], count: int, rng: np.random.Generator
) -> list[Identity]:
    """Draw identities for a subject with the identifiers `target`, none of which anybody in `others` has.

    Args:
        target: Identifiers of the subject.
        others: Subject → identifiers: the pool of words, and the identities to avoid. Words come from subjects with
            identifiers of the same shapes (people, not institutions) if they suffice, else from all, else from
            `person_names.py` for names that begin with a capital.
        count: How many to draw; there are fewer where the pool gives no more.
        rng: Generator.

    Raises:
        InputError: the pool gives none.
    """
    same_shape = {s: names for s, names in others.items() if set(map(shape, names)) == set(map(shape, target))}
    for pool in (same_shape, others):
        identities = _draw(target, pool, others, count, rng)
        if identities:
            return identities
    if any(w[:1].isupper() for i in target for w in words(i)):
        identities = _draw(target, _listed_people(target, rng), others, count, rng)
        if identities:
            return identities
    raise InputError(
        "identifiers",
        f"no surrogate can be made for a subject with {len(target) or 'none'} of them",
        "the corpus needs identifiers of at least a few other subjects of the same shape",
    )


def _listed_people(target: Sequence[str], rng: np.random.Generator, count: int = 64) -> dict[str, list[str]]:
    """`count` people with listed names and with identifiers of the shapes of `target`, digits drawn anew."""

    def listed(identifier: str) -> str:
        parts = words(identifier)
        coded = any(part.isdigit() for part in parts)

        def new(match: re.Match[str]) -> str:
            if match[0].isdigit():
                return "".join(str(d) for d in rng.integers(0, 10, len(match[0])))
            names = FAMILY if match[0] == parts[-1] else FEMALE + MALE
            return match[0] if coded else names[int(rng.integers(len(names)))]

        return WORD.sub(new, identifier)

    return {f"listed {k}": [listed(identifier) for identifier in target] for k in range(count)}


def _draw(
    target: Sequence[str],
    pool: Mapping[str, Sequence[str]],
    others: Mapping[str, Sequence[str]],
    count: int,
    rng: np.random.Generator,
) -> list[Identity]:
    taken = {i for names in others.values() for i in names} | set(target)
    people = {frozenset(names) for names in (*others.values(), target)}
    by_shape: dict[str, list[list[str]]] = {}
    for names in pool.values():
        for identifier in names:
            by_shape.setdefault(shape(identifier), []).append(words(identifier))
    parts = {i for i in target for j in target if words(i) == [i] and not i.isdigit() and i in words(j) and i != j}
    unique = [i for i in target if i not in parts and _identifies(i, by_shape)]  # a surname alone may be somebody's
    identities: list[Identity] = []
    for _ in range(50 * count if target else 0):
        replaced: dict[str, str] = {}
        identity = {i: _substitute(i, by_shape, replaced, rng) for i in sorted(target, key=lambda i: (-len(i), i))}
        new = not any(identity[i] in taken for i in unique) and frozenset(identity.values()) not in people
        if new and identity not in identities:
            identities.append(identity)
        if len(identities) == count:
            break
    return identities


def _identifies(identifier: str, by_shape: Mapping[str, list[list[str]]]) -> bool:
    """False for a string that many subjects share (a date, an institution): a surrogate may share it too."""
    rows = by_shape.get(shape(identifier), [])
    return not rows or len({tuple(r) for r in rows}) > 0.8 * len(rows)


def _words_of_names(by_shape: Mapping[str, list[list[str]]]) -> set[str]:
    """Words of identifiers without digits, for an identifier of a shape that nobody else has."""
    return {w for look, rows in by_shape.items() if "9" not in look for row in rows for w in row}


def _new_word(options: Sequence[str], rng: np.random.Generator) -> str:
    """A word that is not among `options`: the beginning of one of `options` and the end of another."""
    for _ in range(50):
        first, last = (options[int(k)] for k in rng.integers(0, len(options), 2))
        new = first[: -(-len(first) // 2)] + last[len(last) // 2 :]
        if new not in options:
            return new
    return options[int(rng.integers(len(options)))]


def _substitute(
    identifier: str, by_shape: Mapping[str, list[list[str]]], replaced: dict[str, str], rng: np.random.Generator
) -> str:
    """A new string of the same shape. `replaced`: identifying words and numbers of the subject → their substitutes."""
    rows = by_shape.get(shape(identifier), [])
    fresh: list[str] = []
    for k, part in enumerate(words(identifier)):
        column = Counter(row[k] for row in rows)
        identifying = not part.isdigit() or not rows or (len(part) > 1 and len(column) > 0.5 * len(rows))
        if identifying and part in replaced:
            new = replaced[part]
        elif part.isdigit() and identifying:
            new = "".join(str(d) for d in rng.integers(0, 10, len(part)))
        else:  # a word, or a number that many share: its equals elsewhere may mean something else
            options = sorted(column) or sorted(_words_of_names(by_shape)) or [part]
            new = options[int(rng.integers(len(options)))]
            if not part.isdigit() and len(part) > 1 and rows and part not in column:
                new = _new_word(options if len(options) > 2 else sorted({*options, *_words_of_names(by_shape)}), rng)
        if identifying:
            replaced[part] = new
        fresh.append(new)
    remaining = iter(fresh)
    return WORD.sub(lambda _: next(remaining), identifier)
