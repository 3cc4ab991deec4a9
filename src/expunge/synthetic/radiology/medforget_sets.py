"""The eight sets of MedForget: at each of four levels what is to be forgotten, and what is to be kept beside it.

Surprising: a large choice is grown from the choices of smaller worlds, so that those are contained in it. A shared
fact is taken in pairs, one statement inside a target and one outside: that is what makes its owner partly survive.
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
STAGES = (8, 40, 160)  # facts per set of the presets; beyond, each four times the one before
FILL = ("cousins", "siblings", "unrelated", "ancestors")  # where a share cannot be reached
Node = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SetMember:
    """The place of a spot: the set of a level (`forget` or `retain`), and the how-manieth it is there."""

    level: str
    set: str
    rank: int


class MedForgetSets:
    """Chooses facts for each set. `seats`: spot id → seat; `targets`: level → nodes; both grow, nothing leaves."""

    def __init__(self, seed: int, spots: Sequence[TargetCandidate]) -> None:
        self.seed, self.spots = seed, spots
        self.seats: dict[str, SetMember] = {}
        self.targets: dict[str, frozenset[Node]] = dict.fromkeys(LEVELS, frozenset())
        self._taken: dict[tuple[str, str], list[TargetCandidate]] = defaultdict(list)

    @cached_property
    def ordered(self) -> list[TargetCandidate]:
        """All spots in hash order."""
        return sorted(self.spots, key=lambda s: draw(self.seed, s.id, purpose="order of spots"))

    def grow(self, size: int, patients: int) -> None:
        """Fill every set up to `size` facts from the spots of a world of so many patients."""
        here = [s for s in self.ordered if s.since < patients]
        for level in LEVELS:
            self._forget(level, size, [s for s in here if s.level == level and not s.shared])
        for level in LEVELS:
            self._pair(level, max(1, round(size * SHARES["shared"] / 2)), [s for s in here if s.shared])
        for level in LEVELS:
            self._retain(level, size, [s for s in here if not s.level and not s.shared])

    def shares(self, level: str) -> dict[str, float]:
        """What part of the retain set of a level stands in which relation to its targets."""
        found = self._held(level)
        return {name: round(found[name] / found.total(), 3) for name in (*SHARES, "ancestors") if found[name]}

    def _seat(self, level: str, kind: str, spots: Iterable[TargetCandidate]) -> None:
        for spot in spots:
            self.seats[spot.id] = SetMember(level, kind, len(self._taken[level, kind]))
            self._taken[level, kind].append(spot)

    def _forget(self, level: str, size: int, possible: Sequence[TargetCandidate]) -> None:
        """Nodes in the order of their ids until they hold enough, then of their spots the first in hash order."""
        depth = LEVELS.index(level) + 1
        room = Counter(s.path[:depth] for s in possible)
        nodes, held = set(), 0
        for node in sorted(room):
            if held >= size:
                break
            nodes.add(node)
            held += room[node]
        taken = self._taken[level, "forget"]
        self._seat(
            level,
            "forget",
            islice((s for s in possible if s.path[:depth] in nodes and s.id not in self.seats), size - len(taken)),
        )
        self.targets[level] = frozenset(s.path[:depth] for s in taken)

    def _pair(self, level: str, pairs: int, shared: Sequence[TargetCandidate]) -> None:
        """Shared facts of targets, each with another owner: one that is never a target's, if there is one."""
        outside: dict[str, list[TargetCandidate]] = defaultdict(list)
        for spot in sorted(shared, key=lambda s: s.level == ""):
            if spot.level != level and spot.id not in self.seats:
                outside[spot.key].append(spot)
        have = self._held(level)["shared"] // 2
        depth = LEVELS.index(level) + 1
        for spot in shared:
            free = spot.path[:depth] in self.targets[level] and spot.id not in self.seats
            if have < pairs and free and outside[spot.key]:
                self._seat(level, "retain", (spot, outside[spot.key].pop()))
                have += 1

    def _retain(self, level: str, size: int, free: Sequence[TargetCandidate]) -> None:
        relation = self._relations(level)
        pools: dict[str, list[TargetCandidate]] = defaultdict(list)
        for spot in free:
            if spot.id not in self.seats and self._may(level, spot):
                pools[relation(spot)].append(spot)
        have, taken = self._held(level), self._taken[level, "retain"]
        shares = {name: SHARES[name] for name in ("siblings", "unrelated", "cousins")}
        for name, share in shares.items():
            wanted = round((size - have["shared"]) * share / sum(shares.values())) - have[name]
            self._seat(level, "retain", pools[name][: max(0, min(wanted, size - len(taken)))])
        rest = [s for name in FILL for s in pools[name] if s.id not in self.seats]
        self._seat(level, "retain", rest[: size - len(taken)])

    def _may(self, level: str, spot: TargetCandidate) -> bool:
        """General knowledge is dealt between the first two levels, to which nothing else is unrelated."""
        return bool(spot.node_level) or level == LEVELS[draw(self.seed, spot.id, purpose="general") % 2]

    def _held(self, level: str) -> Counter[str]:
        return Counter(map(self._relations(level), self._taken[level, "retain"]))

    def _relations(self, level: str) -> SetRelations:
        return SetRelations(level, self.targets[level])


class SetRelations:
    """How a spot that is kept stands to the targets of a level: `siblings`, `shared`, … ."""

    def __init__(self, level: str, targets: frozenset[Node]) -> None:
        self.level = level
        self.above = {node[:k] for node in targets for k in range(1, len(node))}
        self.parents = {node[:-1] for node in targets}

    def __call__(self, spot: TargetCandidate) -> str:
        if spot.shared:
            return "shared"
        if not spot.node_level:
            return "unrelated"
        if spot.path in self.above:
            return "ancestors"
        if self.level == "institution":
            return "siblings" if len(spot.path) == 1 else "cousins"
        if spot.path[: LEVELS.index(self.level)] in self.parents:
            return "siblings"
        return "cousins" if self.level == "patient" or spot.path[:1] in self.above else "unrelated"


def stages(size: int) -> list[int]:
    """The sizes through which a choice of `size` facts grows."""
    steps = list(STAGES)
    while steps[-1] < size:
        steps.append(4 * steps[-1])
    return [*(s for s in steps if s < size), size]
