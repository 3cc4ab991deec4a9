"""The eight sets of MedForget: a forget set and a retain set at each of four levels.

A large choice grows from the choices of smaller worlds, so those are contained in it. Shared facts are taken in pairs,
one owner inside a target and one outside, so part of what a target's owner states stays in the retain set.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from expunge.random import draw
from expunge.synthetic.radiology.target_candidates import LEVELS, TargetCandidate

SHARES = {"siblings": 0.4, "cousins": 0.3, "unrelated": 0.2, "shared": 0.1}
STAGES = (8, 40, 160)  # facts of a set of the presets; beyond, each four times the one before
FILL = ("cousins", "siblings", "unrelated", "ancestors")  # where a share cannot be reached
Node = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SetMember:
    """The place of a candidate: the set (`forget` or `retain`) of a level, and its rank there, from 0."""

    level: str
    set: str
    rank: int


class MedForgetSets:
    """Facts of each set. `members`: candidate id -> member; `targets`: level -> nodes; both only grow."""

    def __init__(self, seed: int, candidates: Sequence[TargetCandidate]) -> None:
        self.seed, self.candidates = seed, candidates
        self.members: dict[str, SetMember] = {}
        self.targets: dict[str, frozenset[Node]] = dict.fromkeys(LEVELS, frozenset())
        self._chosen: dict[tuple[str, str], list[TargetCandidate]] = defaultdict(list)

    @cached_property
    def ordered(self) -> list[TargetCandidate]:
        """All candidates in hash order."""
        return sorted(self.candidates, key=lambda c: draw(self.seed, c.id, purpose="order of spots"))

    def grow(self, size: int, patients: int) -> None:
        """Fill every set up to `size` facts from the candidates of a world of this many patients."""
        present = [c for c in self.ordered if c.since < patients]
        for level in LEVELS:
            self._forget(level, size, [c for c in present if c.level == level and not c.shared])
        for level in LEVELS:
            self._pair(level, max(1, round(size * SHARES["shared"] / 2)), [c for c in present if c.shared])
        for level in LEVELS:
            self._retain(level, size, [c for c in present if not c.level and not c.shared])

    def shares(self, level: str) -> dict[str, float]:
        """Relation to the targets of a level -> share of its retain set, to three decimals."""
        counts = self._relation_counts(level)
        return {name: round(counts[name] / counts.total(), 3) for name in (*SHARES, "ancestors") if counts[name]}

    def _add(self, level: str, kind: str, candidates: Iterable[TargetCandidate]) -> None:
        for candidate in candidates:
            self.members[candidate.id] = SetMember(level, kind, len(self._chosen[level, kind]))
            self._chosen[level, kind].append(candidate)

    def _forget(self, level: str, size: int, candidates: Sequence[TargetCandidate]) -> None:
        """Nodes in the order of their ids until they hold `size` facts, then their first candidates in hash order."""
        depth = LEVELS.index(level) + 1
        capacity = Counter(c.path[:depth] for c in candidates)
        nodes, total = set[Node](), 0
        for node in sorted(capacity):
            if total >= size:
                break
            nodes.add(node)
            total += capacity[node]
        chosen = self._chosen[level, "forget"]
        free = (c for c in candidates if c.path[:depth] in nodes and c.id not in self.members)
        self._add(level, "forget", islice(free, size - len(chosen)))
        self.targets[level] = frozenset(c.path[:depth] for c in chosen)

    def _pair(self, level: str, pairs: int, shared: Sequence[TargetCandidate]) -> None:
        """Pairs of a target's shared fact and another owner of it, preferably one that is never a target."""
        outside: dict[str, list[TargetCandidate]] = defaultdict(list)
        for candidate in sorted(shared, key=lambda c: c.level == ""):
            if candidate.level != level and candidate.id not in self.members:
                outside[candidate.key].append(candidate)
        count = self._relation_counts(level)["shared"] // 2
        depth = LEVELS.index(level) + 1
        for candidate in shared:
            free = candidate.path[:depth] in self.targets[level] and candidate.id not in self.members
            if count < pairs and free and outside[candidate.key]:
                self._add(level, "retain", (candidate, outside[candidate.key].pop()))
                count += 1

    def _retain(self, level: str, size: int, free: Sequence[TargetCandidate]) -> None:
        relation = self._relations(level)
        pools: dict[str, list[TargetCandidate]] = defaultdict(list)
        for candidate in free:
            if candidate.id not in self.members and self._allowed(level, candidate):
                pools[relation(candidate)].append(candidate)
        counts, chosen = self._relation_counts(level), self._chosen[level, "retain"]
        shares = {name: SHARES[name] for name in ("siblings", "unrelated", "cousins")}
        for name, share in shares.items():
            missing = round((size - counts["shared"]) * share / sum(shares.values())) - counts[name]
            self._add(level, "retain", pools[name][: max(0, min(missing, size - len(chosen)))])
        rest = [c for name in FILL for c in pools[name] if c.id not in self.members]
        self._add(level, "retain", rest[: size - len(chosen)])

    def _allowed(self, level: str, candidate: TargetCandidate) -> bool:
        """Whether a candidate may enter a retain set; general knowledge is split between the first two levels."""
        return bool(candidate.node_level) or level == LEVELS[draw(self.seed, candidate.id, purpose="general") % 2]

    def _relation_counts(self, level: str) -> Counter[str]:
        return Counter(map(self._relations(level), self._chosen[level, "retain"]))

    def _relations(self, level: str) -> SetRelations:
        return SetRelations(level, self.targets[level])


class SetRelations:
    """The relation of a retained candidate to the targets of a level: `siblings`, `shared`, and so on."""

    def __init__(self, level: str, targets: frozenset[Node]) -> None:
        self.level = level
        self.ancestors = {node[:k] for node in targets for k in range(1, len(node))}
        self.parents = {node[:-1] for node in targets}

    def __call__(self, candidate: TargetCandidate) -> str:
        if candidate.shared:
            return "shared"
        if not candidate.node_level:
            return "unrelated"
        if candidate.path in self.ancestors:
            return "ancestors"
        if self.level == "institution":
            return "siblings" if len(candidate.path) == 1 else "cousins"
        if candidate.path[: LEVELS.index(self.level)] in self.parents:
            return "siblings"
        return "cousins" if self.level == "patient" or candidate.path[:1] in self.ancestors else "unrelated"


def stages(size: int) -> list[int]:
    """The sizes through which sets of `size` facts grow."""
    steps = list(STAGES)
    while steps[-1] < size:
        steps.append(4 * steps[-1])
    return [*(s for s in steps if s < size), size]
