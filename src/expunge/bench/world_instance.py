"""A world instance: one request at one seed. The seed decides both the world and everything trained in it.

Targets of two seeds share no fact, so a trial chosen on one seed has never met what it is audited on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from expunge._config import FrozenModel
from expunge._io import digest
from expunge.bench.requests import Request
from expunge.corpus import Corpus, Node, Record
from expunge.corpus.answer_types import answer_type
from expunge.errors import InputError
from expunge.random import uniform
from expunge.scope import Scope, Split
from expunge.scope.relations import people, subject_nodes, subject_of

HELDOUT = 1 / 3  # share of the retain records that no run is given
SALT = "expunge-bench-concepts-v1"


class WorldInstance(FrozenModel):
    """A request at a seed; `part` names the documents of LUME that tuning runs use instead."""

    request: Request
    seed: int = Field(ge=0)
    part: Literal["audit", "validation"] = "audit"

    def __str__(self) -> str:
        return f"{self.request}, seed {self.seed}"

    def sets(self) -> RecordSets:
        """The records by purpose; made once per process. `InputError` if one of them is missing."""
        return _sets(self)


@dataclass(frozen=True)
class RecordSets:
    """Records by purpose.

    Attributes:
        corpus: everything, never-trained records included.
        split: `forget` and `retain` are given to runs; the held-out retain set never: the only basis of retention.
        holdout: never trained, and asked the same kinds of question as `forget`: the non-members.
        training: model to its training records, where they are not those of the corpus.
        more: what else a plugin's measures need.
        questions: `forget` or `heldout` to the same facts as questions with options, where the taught answers say more
            than an option does. They are never trained, and asked in place of the options of the records themselves.
        healing: text that heals a model without some of its blocks; it holds nothing that is forgotten.
        shared_retrained: a retrained model lacks the same records whatever the target is.
        dictionary: file of names with levels, for arms that weigh single words by it.
    """

    corpus: Corpus
    split: Split
    holdout: Sequence[Record]
    training: Mapping[str, Sequence[Record]] | None = None
    more: Any = None
    questions: Mapping[str, Sequence[Record]] = field(default_factory=dict)
    healing: Sequence[Record] = ()
    shared_retrained: bool = False
    dictionary: Path | None = None

    @property
    def forget(self) -> Sequence[Record]:
        return self.split.forget

    @property
    def heldout(self) -> Sequence[Record]:
        """Retain records that no run is given."""
        return self.split.retain_heldout

    @cached_property
    def digest(self) -> str:
        return digest([self.corpus.digest, self.split.digest])

    def trained(self, name: str) -> list[Record]:
        """Training records of `original`, and of any other model: the same without the whole scope."""
        if self.training:
            return list(self.training["original" if name == "original" else "retrained"])
        every = self.corpus.trained
        return list(every) if name == "original" else [r for r in every if r.id not in self.split.excluded_ids]

    def summary(self) -> dict[str, int]:
        """Sizes, for the page."""
        sets = (self.trained("original"), self.forget, self.split.retain, self.heldout, self.holdout)
        return dict(zip(("taught", "forget", "given", "retain_heldout", "never trained"), map(len, sets), strict=True))


OWN_SETS: dict[str, Callable[[WorldInstance], RecordSets]] = {}  # world -> its sets, filled by plugins


@lru_cache(maxsize=4)
def _sets(cell: WorldInstance) -> RecordSets:
    return OWN_SETS.get(cell.request.world, world_sets)(cell)


def world_sets(cell: WorldInstance) -> RecordSets:
    """The sets of a synthetic world, or of published text."""
    request = cell.request
    corpus, target = request.corpus(cell.seed)
    by_level = request.heldout == "by_level"
    split = Scope.parse(target).resolve(corpus, seed=cell.seed, heldout_share=0 if by_level else HELDOUT)
    if by_level:
        hidden = draw_heldout(split.retain, subject_nodes(corpus.trained), cell.seed, HELDOUT)
        retain, heldout = ([r for r in split.retain if (r.id in hidden) == held] for held in (False, True))
        split = replace(split, retain=retain, retain_heldout=heldout)
    kinds = {(r.concept, answer_type(r)) for r in split.forget}
    holdout = [r for r in split.holdout if (r.concept, answer_type(r)) in kinds]
    for what, records in (
        ("never-trained records of the target's kind", holdout),
        ("retain_heldout records", split.retain_heldout),
        ("retained records", split.retain),
        ("target records with options", [r for r in split.forget if r.options]),
    ):
        if not records:
            raise InputError(f"world {request}", f"gives no {what}", "choose a larger preset or another target")
    return RecordSets(corpus, split, holdout)


def draw_heldout(records: Sequence[Record], nodes: Mapping[str, Node], seed: int, share: float) -> frozenset[str]:
    """Ids of the records that no run is given: a share of the subjects of each level, by a hash of their names.

    Facts about a node that others live below (a hospital, the world) are drawn one by one. At least one unit stays on
    either side of a level wherever there are two. `nodes`: subject to its node, over all trained records.
    """
    persons = people(nodes)
    units: dict[tuple[bool, str], list[Record]] = {}
    for record in records:
        person = subject_of(record) in persons
        units.setdefault((person, subject_of(record) if person else min(record.fact_keys)), []).append(record)
    levels: dict[tuple[str, ...], list[tuple[bool, str]]] = {}
    for unit, mine in units.items():
        levels.setdefault(tuple(sorted({r.concept or "" for r in mine})), []).append(unit)
    chosen: set[str] = set()
    for members in levels.values():
        count = min(max(1, round(share * len(members))), len(members) - 1)
        order = sorted(members, key=lambda unit: (uniform(f"{SALT}:{seed}", unit[1]), unit))
        chosen.update(r.id for unit in order[:count] for r in units[unit])
    return frozenset(chosen)
