"""Surrogates of places in the tree: names of nodes that nobody has, for questions that state their place.

Two kinds of node are replaced: those under which nothing is retained, and those of the subject and below it. A name
that stands in several branches (`FINDINGS`) identifies nothing and stays. A name below a replaced one follows it: with
`P-01` → `P-57`, `S-01-2` becomes `S-57-2`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

from expunge.corpus.provenance import node_name, states_place, subject_depth
from expunge.corpus.record import Record
from expunge.corpus.tree import Node

NUMBER = re.compile(r"\d+")
LETTERS = re.compile(r"[^\W\d_]+")
TRIES = 50


def place_identities(
    records: Sequence[Record], others: Iterable[Record], count: int, rng: np.random.Generator, subject: bool = True
) -> list[dict[str, str]]:
    """`count` times: name of a node → a name that no node has. Empty where no record states its place.

    Args:
        records: Records to forget, of one subject.
        others: Retained records; their nodes are the names to avoid.
        count: How many to draw.
        rng: Generator.
        subject: Replace the subject's own node too, though some of it is retained.
    """
    stating = [r for r in records if states_place(r)]
    if not stating:
        return [{} for _ in range(count)]
    retained = {r.path[:k] for r in others for k in range(1, len(r.path) + 1)}
    nodes = replaced_nodes(stating, retained, subject)
    taken = {node_name(step) for node in (*retained, *(r.path for r in stating)) for step in node}
    return [_draw(nodes, taken, rng) for _ in range(count)]


def replaced_nodes(records: Sequence[Record], retained: set[Node], subject: bool = True) -> list[Node]:
    """The nodes of `records` that a surrogate replaces, from the root down."""
    parents: dict[str, set[Node]] = {}
    own = {r.path[:k] for r in records for k in range(1, len(r.path) + 1)}
    for node in own | retained:
        parents.setdefault(node_name(node[-1]), set()).add(node[:-1])
    depth = {node: subject_depth(r) for r in records for node in (r.path[:k] for k in range(1, len(r.path) + 1))}
    return sorted(
        (
            node
            for node in own
            if len(parents[node_name(node[-1])]) == 1
            and (node not in retained or (subject and len(node) >= depth[node]))
        ),
        key=lambda node: (len(node), node),
    )


def _draw(nodes: Sequence[Node], taken: set[str], rng: np.random.Generator) -> dict[str, str]:
    names: dict[str, str] = {}
    for node in nodes:
        own = node_name(node[-1])
        above = next((node_name(step) for step in reversed(node[:-1]) if node_name(step) in names), "")
        names[own] = _follow(own, above, names[above]) if above else own
        if names[own] == own:
            names[own] = _new_name(own, {*taken, *names.values()}, rng)
    return names


def _follow(name: str, above: str, new: str) -> str:
    """`name` with the numbers of the node above it, where it begins with the same numbers."""
    old_numbers, numbers = NUMBER.findall(above), NUMBER.findall(name)
    if not old_numbers or numbers[: len(old_numbers)] != old_numbers:
        return name
    replaced = iter([*NUMBER.findall(new), *numbers[len(old_numbers) :]])
    return NUMBER.sub(lambda _: next(replaced), name)


def _new_name(name: str, taken: set[str], rng: np.random.Generator) -> str:
    """A name of the same shape that is not taken: other digits in its last number, or other letters."""
    numbers = list(NUMBER.finditer(name))
    for _ in range(TRIES):
        if numbers:
            last = numbers[-1]
            new = name[: last.start()] + _digits(len(last[0]), rng) + name[last.end() :]
        else:
            new = LETTERS.sub(lambda m: _letters(m[0], rng), name)
        if new not in taken:
            return new
    return f"{name}{_digits(3, rng)}"


def _digits(count: int, rng: np.random.Generator) -> str:
    return "".join(str(d) for d in rng.integers(0, 10, count))


def _letters(word: str, rng: np.random.Generator) -> str:
    """A word of the same letters in another order, its first letter's case kept."""
    order = rng.permutation(len(word))
    mixed = "".join(word[int(k)] for k in order).lower()
    return mixed.title() if word[:1].isupper() and not word.isupper() else mixed.upper() if word.isupper() else mixed
