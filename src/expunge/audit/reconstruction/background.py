"""The attacker's background knowledge: candidates for every answer, another subject's place, statements as context.

All of it comes from surviving records. Draws depend on ids and the seed, never on the order of records; of a large
corpus at most `MAX_RECORDS` records of each answer type are held.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from expunge.audit.text_normalization import normalize
from expunge.corpus import BLANK, Node, Record, lowest_common_ancestor
from expunge.corpus.answer_types import answer_type
from expunge.random import uniform

MAX_RECORDS = 2000  # records held of an answer type
MAX_CHARACTERS = 200  # characters of a statement


class BackgroundDraw:
    """The `most` items of smallest draw."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._heap: list[tuple[float, str, Record]] = []

    def offer(self, salt: str, record: Record) -> None:
        item = (-uniform(salt, record.id), record.id, record)
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, item)
        elif self._heap and item[:2] > self._heap[0][:2]:
            heapq.heapreplace(self._heap, item)

    def records(self) -> list[Record]:
        """In the order of their draws."""
        return [item[2] for item in sorted(self._heap, key=itemgetter(0, 1), reverse=True)]


@dataclass(frozen=True)
class BackgroundRecords:
    """By record id of a fact: its candidates and another subject's record; by node: the surviving statements.

    Attributes:
        candidates: Wrong answers of the same type from other subjects, as frequent as the true one.
        others: A surviving record with the same question about another subject, as far away in the tree as possible.
        owned: Node to statements of records that it owns.
        beside: Node to statements of records owned by its siblings.
    """

    candidates: Mapping[str, tuple[str, ...]]
    others: Mapping[str, Record]
    owned: Mapping[Node, tuple[str, ...]] = field(default_factory=dict)
    beside: Mapping[Node, tuple[str, ...]] = field(default_factory=dict)


def gather(
    facts: Sequence[Record], surviving: Iterable[Record], *, seed: int, candidates: int = 19, statements: int = 2
) -> BackgroundRecords:
    """Two passes over `surviving`, a sequence or a view that can be read twice."""
    salt = f"reconstruction:{seed}"
    types = {answer_type(r) for r in facts}
    pools: dict[str, BackgroundDraw] = defaultdict(lambda: BackgroundDraw(MAX_RECORDS))
    for r in surviving:
        if (kind := answer_type(r)) in types:
            pools[kind].offer(salt, r)
    same_type = {kind: pool.records() for kind, pool in pools.items()}
    true_answers = Counter((answer_type(r), normalize(r.answer)) for r in facts)
    common = true_answers + Counter((kind, normalize(r.answer)) for kind, rows in same_type.items() for r in rows)
    others = {r.id: o for r in facts if (o := _other(r, same_type.get(answer_type(r), ()), salt))}
    owned, beside = _statements([*facts, *others.values()], surviving, salt, statements)
    return BackgroundRecords(
        {r.id: _wrong(r, same_type.get(answer_type(r), ()), common, salt, candidates) for r in facts},
        others,
        owned,
        beside,
    )


def _wrong(
    fact: Record, same_type: Sequence[Record], common: Mapping[tuple[str, str], int], salt: str, most: int
) -> tuple[str, ...]:
    """Wrong answers of other subjects, each once, those as frequent as the true one first."""
    kind, true = answer_type(fact), normalize(fact.answer)
    spelling: dict[str, str] = {}
    for r in same_type:
        if r.subject != fact.subject:
            spelling.setdefault(normalize(r.answer), r.answer)
    spelling.pop(true, None)
    order = sorted(spelling, key=lambda a: (abs(common[kind, a] - common[kind, true]), uniform(salt, f"{fact.id}:{a}")))
    return tuple(spelling[a] for a in order[:most])


def _other(fact: Record, same_type: Sequence[Record], salt: str) -> Record | None:
    """Another subject's record of the same type, depth and levels, with another answer, of the furthest branch."""
    shape, true, own = _levels(fact.path), normalize(fact.answer), uniform(salt, fact.id)
    fit = [
        r
        for r in same_type
        if r.subject != fact.subject
        and r.path != fact.path
        and _levels(r.path) == shape
        and normalize(r.answer) != true
    ]
    return min(
        fit,
        key=lambda r: (
            len(lowest_common_ancestor(r.path, fact.path)),
            (r.image is None) != (fact.image is None),
            (uniform(salt, r.id) - own) % 1,
        ),
        default=None,
    )


def _levels(node: Node) -> tuple[str, ...]:
    return tuple(name.split(":", 1)[0] for name in node)


def _statements(
    records: Sequence[Record], surviving: Iterable[Record], salt: str, most: int
) -> tuple[dict[Node, tuple[str, ...]], dict[Node, tuple[str, ...]]]:
    """Statements owned by the nodes on the way to `records`, and by the siblings of their own nodes."""
    nodes = {r.path[:k] for r in records for k in range(1, len(r.path) + 1)}
    children: dict[Node, set[Node]] = defaultdict(set)
    for r in records:
        children[r.path[:-1]].add(r.path)
    at, near = (defaultdict[Node, BackgroundDraw](lambda: BackgroundDraw(most)) for _ in range(2))
    for r in surviving:
        if r.options or r.image or not r.path or len(state(r)) > MAX_CHARACTERS:
            continue
        if r.path in nodes:
            at[r.path].offer(salt, r)
        for node in children.get(r.path[:-1], ()):
            if node != r.path:
                near[node].offer(salt, r)
    owned, beside = (
        {node: tuple(state(r) for r in draw.records()) for node, draw in draws.items()} for draws in (at, near)
    )
    return owned, beside


def state(record: Record) -> str:
    """What a record says, as one sentence: its blank filled, else prompt and answer."""
    filled = BLANK in record.prompt
    text = record.prompt.replace(BLANK, record.answer) if filled else f"{record.prompt} {record.answer}"
    return text if text.rstrip().endswith((".", "!", "?")) else f"{text.rstrip()}."
