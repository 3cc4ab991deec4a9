"""Requests: what an experiment asks to forget, of a synthetic world or of published text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from expunge._config import FrozenModel
from expunge._io import canonical
from expunge.corpus import Corpus
from expunge.errors import InputError
from expunge.synthetic.base import WORLDS

Published = Callable[[Path, int, Mapping[str, Any]], tuple[Corpus, str]]
PUBLISHED: dict[str, Published] = {}  # name -> (folder, seed, settings) to records and the scope to forget


class Request(FrozenModel):
    """A world without its seed and the scope to forget there; the seed comes with the world instance.

    Attributes:
        target: scope, or its name where the world names several; `chapter` is the target's whole chapter. None means
            the world's own target.
        spare_words: so many of the last words with two senses keep their target sense.
        heldout: held-out retain records are drawn within each level, or by relation to the target.
        model: changes of the experiment's model, so that models can be compared on one world.
        label: name in tables; decides nothing else.
        data: folder of published text; its content decides, not its path.
    """

    world: str
    preset: str = "small"
    settings: Mapping[str, Any] = {}
    target: str | None = None
    spare_words: int = 0
    heldout: Literal["by_level", "by_relation"] = "by_level"
    model: Mapping[str, Any] = Field({}, exclude_if=lambda changes: not changes)
    label: str = ""
    data: Path | None = Field(None, exclude=True)

    def __str__(self) -> str:
        if self.label:
            return self.label
        changed = ", ".join([*(f"{k} {v}" for k, v in self.settings.items()), *([self.target] if self.target else [])])
        return f"{self.world} ({changed})" if changed else self.world

    def __hash__(self) -> int:
        return hash(canonical(self.model_dump(mode="json")))  # settings are a mapping, which has no hash

    @property
    def published(self) -> bool:
        """Does it need a folder of published text?"""
        return self.world in PUBLISHED

    def build_world(self, seed: int) -> Any:
        """The synthetic world at a seed."""
        kind: Any = WORLDS.get(self.world, "world")
        return kind.preset(self.preset, seed=seed, **self.settings)

    def folder(self) -> Path:
        """Folder of the published text; `InputError` where none is named."""
        if self.data is None:
            where = f"world {self.world}"
            raise InputError(where, "is text that does not come with the package", "name its folder with --data")
        return self.data

    def scope(self, world: Any) -> str:
        """The scope to forget in `world`."""
        several = callable(getattr(type(world), "target", None))  # it has a target for each of several names
        if self.target == "chapter":
            scope = world.chapter
        else:
            scope = world.target(self.target) if several else self.target or getattr(world, "target", None)
        if not scope:
            raise InputError(f"world {self}", "names no target on L4", "give a scope to be forgotten")
        if self.spare_words:
            last = getattr(world, "knowledge_polysemes", None) or world.polysemes
            spared = " or ".join(f"concept:L4-p{k:03d}" for k in range(last - self.spare_words + 1, last + 1))
            return f"{scope} and not ({spared})"
        return str(scope)

    def corpus(self, seed: int) -> tuple[Corpus, str]:
        """All records at a seed, and the scope to forget."""
        if self.published:
            return PUBLISHED[self.world](self.folder(), seed, self.settings)
        world = self.build_world(seed)
        return world.corpus(), self.scope(world)

    def as_row(self) -> dict[str, Any]:
        """The world with its settings, for the results."""
        division = "levels" if self.heldout == "by_level" else "relations"
        scope = None if self.published else self.scope(self.build_world(0))
        about = self.model_dump(mode="json", include={"world", "preset", "settings"})
        return about | {"target": scope, "division": division, "label": self.label}
