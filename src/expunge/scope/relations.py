"""The relation of a record to the target in the provenance tree, and its distance.

Terms. The *targets* are nodes. The *anchor* of a record is the node of its subject; where a target lies
deeper than that (a study of a patient), it is the record's own node down to the target's depth, so that
the other studies of the same patient are siblings of the study and not "the patient".

Relations exclude each other; the first that holds is taken:

    self            in the scope, owned by a target (or without a place in the tree)
    descendants     in the scope, owned by a node below a target
    ancestors       owned by a node strictly above a target
    siblings        its anchor has parent and level of a target; or the rest of a person in part forgotten
    same_attribute  elsewhere in a tree of the same kind (same root level as a target), with an answer of the
                    target (letter case and outer blanks ignored)
    cousins         the rest of such a tree
    unrelated       everything else: world facts, no place in the tree

The distance is the number of edges between anchor and nearest target: sibling 2, cousin 4. Note: a patient of another
hospital is a cousin of a forgotten hospital (distance 3), not a sibling; its hospital's own records are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from expunge.corpus import Node, Record, contains, lowest_common_ancestor

WORLD = "world"  # root level of general knowledge
RELATIONS: tuple[str, ...] = ("self", "descendants", "ancestors", "siblings", "same_attribute", "cousins", "unrelated")


def subject_of(record: Record) -> str:
    """The data subject; a record without one stands for itself."""
    return record.subject or record.id


def subject_nodes(records: Iterable[Record]) -> dict[str, Node]:
    """Subject -> its node: the part of its paths that ends in its name, else what its paths have in common."""
    common: dict[str, Node] = {}
    for record in records:
        subject = subject_of(record)
        known = common.setdefault(subject, record.path)
        if not contains(known, record.path):
            common[subject] = lowest_common_ancestor(known, record.path)
    return {subject: _node(subject, path) for subject, path in common.items()}


def _node(subject: str, common: Node) -> Node:
    """The part of a path that ends in a subject's name, else all of it."""
    for k in range(1, len(common) + 1):
        if subject in (common[k - 1], common[k - 1].split(":", 1)[-1], "/".join(common[:k])):
            return common[:k]
    return common


def people(nodes: Mapping[str, Node]) -> frozenset[str]:
    """The subjects that are people or documents: no subject lies below them, and they are not the world."""
    above = prefixes(nodes.values())
    return frozenset(
        subject for subject, node in nodes.items() if node not in above and (not node or _root(node) != WORLD)
    )


def prefixes(nodes: Iterable[Node]) -> frozenset[Node]:
    """All nodes strictly above these."""
    return frozenset(node[:k] for node in nodes for k in range(len(node)))


@dataclass(frozen=True)
class Kinship:
    """Relations to `targets` (never the root). `nodes`: subject -> node; `answers`: those of the target."""

    targets: frozenset[Node]
    nodes: Mapping[str, Node]
    answers: frozenset[str]

    @classmethod
    def to(cls, targets: Iterable[Node], nodes: Mapping[str, Node], forget: Iterable[Record]) -> Kinship:
        return cls(frozenset(t for t in targets if t), nodes, frozenset(_plain(r.answer) for r in forget))

    @cached_property
    def ancestors(self) -> frozenset[Node]:
        return prefixes(self.targets)

    @cached_property
    def siblings(self) -> frozenset[tuple[Node, str]]:
        """(parent, level) of every target."""
        return frozenset((t[:-1], _level(t)) for t in self.targets)

    @cached_property
    def by_depth(self) -> dict[int, frozenset[Node]]:
        """Depth of targets -> these targets and all nodes above them."""
        depths = {len(t) for t in self.targets}
        return {
            depth: (same_depth := frozenset(t for t in self.targets if len(t) == depth)) | prefixes(same_depth)
            for depth in depths
        }

    @cached_property
    def roots(self) -> frozenset[str]:
        """Level names of the first nodes of targets."""
        return frozenset(_root(t) for t in self.targets)

    def anchor(self, record: Record, depth: int) -> Node:
        """The node that stands for a record before targets of this depth."""
        return record.path[: max(len(self.nodes[subject_of(record)]), depth)]

    def relation(self, record: Record, inside: bool) -> str:
        """The relation of a record; `inside` says whether the scope names it."""
        path = record.path
        below = any(path[:k] in self.targets for k in range(len(path)))
        if inside:
            return "descendants" if below and path not in self.targets else "self"
        if path and path in self.ancestors:
            return "ancestors"
        if below or path in self.targets or self._is_sibling(record):
            return "siblings"
        if not self._same_kind(record):
            return "unrelated"
        return "same_attribute" if _plain(record.answer) in self.answers else "cousins"

    def _same_kind(self, record: Record) -> bool:
        return bool(record.path) and _root(record.path) in self.roots

    def _is_sibling(self, record: Record) -> bool:
        anchors = (self.anchor(record, depth) for depth in self.by_depth)
        return any(a and (a[:-1], _level(a)) in self.siblings for a in anchors)

    def distance(self, record: Record) -> int | None:
        """Edges to the nearest target; None without a place in a tree of its kind."""
        if not self._same_kind(record):
            return None
        distances = []
        for depth, known in self.by_depth.items():
            anchor = self.anchor(record, depth)
            shared = next(k for k in range(min(len(anchor), depth), -1, -1) if anchor[:k] in known)
            distances.append(len(anchor) + depth - 2 * shared)
        return min(distances)

    def same_institution(self, record: Record) -> bool:
        """True if the record shares the first node with a target and is not owned above one."""
        return record.path[:1] in {t[:1] for t in self.targets} and record.path not in self.ancestors


@dataclass(frozen=True)
class HeldoutRelations:
    """How held-out records stand to a target; each by the id of a record."""

    relation: Mapping[str, str]
    distances: Mapping[str, int]
    same_institution: frozenset[str]


def heldout_relations(kinship: Kinship, records: Iterable[Record]) -> HeldoutRelations:
    """The relations of held-out records to the targets of `kinship`."""
    relation: dict[str, str] = {}
    distances: dict[str, int] = {}
    same: set[str] = set()
    for r in records:
        relation[r.id] = kinship.relation(r, inside=False)
        if (distance := kinship.distance(r)) is not None:
            distances[r.id] = distance
        if kinship.same_institution(r):
            same.add(r.id)
    return HeldoutRelations(relation, distances, frozenset(same))


def _level(node: Node) -> str:
    return node[-1].split(":", 1)[0]


def _root(node: Node) -> str:
    return node[0].split(":", 1)[0]


def _plain(answer: str) -> str:
    return answer.strip().casefold()
