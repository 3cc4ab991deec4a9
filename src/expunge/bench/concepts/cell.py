"""A cell: one world with its settings and one seed. The seed decides both the world and everything taught in it.

Surprising: targets of two seeds share no fact, so a setting chosen on one seed has never met what it is audited on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from expunge._io import canonical, digest
from expunge.bench.concepts import people
from expunge.bench.concepts.division import retain_heldout
from expunge.corpus import Corpus, Record
from expunge.corpus.answer_types import answer_type
from expunge.errors import InputError
from expunge.scope import Scope, Split
from expunge.scope.relations import subject_nodes
from expunge.synthetic.base import WORLDS

UNTOUCHED = 1 / 3  # share of what stays that no run is given


class Domain(BaseModel):
    """A world without its seed, or people of LUME (`world: lume-people`), of whom the seed draws some."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    world: str = Field(description="name of a registered world")
    preset: str = Field("small", description="preset of that world")
    settings: Mapping[str, Any] = Field({}, description="settings on top of the preset")
    target: str | None = Field(
        None, description="scope to be forgotten, or its name where a world names several; the world's own if not given"
    )
    division: Literal["levels", "relations"] = Field(
        "levels", description="what no run is given is drawn within each concept level, or by relation to the target"
    )
    label: str = Field("", description="name in tables, where settings would crowd them; decides nothing else")
    data: Path | None = Field(
        None, exclude=True, description="folder of published text; what it holds decides, not where it lies"
    )

    def __str__(self) -> str:
        """`finance`, or `hospital (knowledge_overlap 0.5)`: the name in tables, so it says what differs."""
        if self.label:
            return self.label
        changed = ", ".join([*(f"{k} {v}" for k, v in self.settings.items()), *([self.target] if self.target else [])])
        return f"{self.world} ({changed})" if changed else self.world

    def __hash__(self) -> int:
        return hash(canonical(self.model_dump(mode="json")))  # settings are a mapping, which has no hash


class Cell(BaseModel):
    """One world at one seed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    domain: Domain
    seed: int = Field(ge=0)

    def __str__(self) -> str:
        return f"{self.domain}, seed {self.seed}"

    def sets(self) -> Sets:
        """The records of the cell by purpose; made once per process. `InputError` if one of them is missing."""
        return _sets(self)


@dataclass(frozen=True)
class Sets:
    """Records by purpose.

    corpus   everything, never-trained records included
    split    `forget` and `retain` are given to runs, `retain_heldout` never: the only basis of retention
    holdout  never trained, and asked the same kinds of question as `forget`: the non-members
    """

    corpus: Corpus
    split: Split
    holdout: Sequence[Record]

    @property
    def forget(self) -> Sequence[Record]:
        return self.split.forget

    @property
    def retain_heldout(self) -> Sequence[Record]:
        return self.split.retain_heldout

    @cached_property
    def digest(self) -> str:
        return digest([self.corpus.digest, self.split.digest])

    def taught(self, name: str) -> list[Record]:
        """What `original` learns, and any other model: the same without the whole scope."""
        kept = self.corpus.trained
        return list(kept) if name == "original" else [r for r in kept if r.id not in self.split.excluded_ids]

    def summary(self) -> dict[str, int]:
        """Sizes, for the page."""
        return {
            "taught": len(self.corpus.trained),
            "forget": len(self.forget),
            "given": len(self.split.retain),
            "retain_heldout": len(self.retain_heldout),
            "never trained": len(self.holdout),
        }


@lru_cache(maxsize=4)
def _sets(cell: Cell) -> Sets:
    domain = cell.domain
    corpus, target = _corpus(domain, cell.seed)
    by_level = domain.division == "levels"
    split = Scope.parse(target).resolve(corpus, seed=cell.seed, heldout_share=0 if by_level else UNTOUCHED)
    if by_level:
        hidden = retain_heldout(split.retain, subject_nodes(corpus.trained), cell.seed, UNTOUCHED)
        split = replace(
            split,
            retain=[r for r in split.retain if r.id not in hidden],
            retain_heldout=[r for r in split.retain if r.id in hidden],
        )
    asked = {(r.concept, answer_type(r)) for r in split.forget}
    holdout = [r for r in split.holdout if (r.concept, answer_type(r)) in asked]
    wanted = {
        "never-trained records of the target's kind": holdout,
        "retain_heldout records": split.retain_heldout,
        "retained records": split.retain,
        "target records with options": [r for r in split.forget if r.options],
    }
    for what, found in wanted.items():
        if not found:
            raise InputError(f"world {domain}", f"gives no {what}", "choose a larger preset or another target")
    return Sets(corpus, split, holdout)


def _corpus(domain: Domain, seed: int) -> tuple[Corpus, str]:
    """Everything of a domain at a seed, and the scope to be forgotten."""
    if domain.world == people.NAME:
        if domain.data is None:
            raise InputError(
                f"world {domain.world}", "is text that does not come with the package", "name its folder with --data"
            )
        return people.corpus(domain.data, seed, **domain.settings), domain.target or people.TARGET
    kind: Any = WORLDS.get(domain.world, "world")
    world = kind.preset(domain.preset, seed=seed, **domain.settings)
    several = callable(getattr(kind, "target", None))  # it has a target for each of several names
    target = world.target(domain.target) if several else domain.target or getattr(world, "target", None)
    if not target:
        raise InputError(f"world {domain.world}", "names no target on L4", "give a scope to be forgotten")
    return world.corpus(), target
