"""What a world is: settings that determine a corpus whose truth is known.

Surprising: wrong settings raise `InputError` (one line), not pydantic's report, since people type them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import ValidationError

from expunge._config import FrozenModel, input_error
from expunge._registry import Registry
from expunge.concepts.dictionary import Dictionary
from expunge.corpus import Corpus, Record
from expunge.errors import InputError, unknown

WORLDS: Registry[type[World]] = Registry("world", "expunge.synthetic")


class World(FrozenModel, ABC):
    """Base of all worlds. Subclass with `class Hospital(World, name="hospital")`; fields are its settings.

    version   of the generator; changes whenever the same settings give other rows
    presets   name → settings that differ from the defaults
    """

    name: ClassVar[str] = ""
    version: ClassVar[str] = "1"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    def __init_subclass__(cls, name: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if name:
            cls.name = name
            WORLDS.add(name, cls)

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise input_error(error, type(self), f"world {self.name}") from None

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """A world of one of its `presets`, with some settings changed."""
        if not cls.presets:
            raise InputError(f"world {cls.name}", "has no presets", "leave it out")
        if name not in cls.presets:
            raise unknown("preset", name, cls.presets, f"world {cls.name}")
        return cls(**{**cls.presets[name], **changes})

    @abstractmethod
    def corpus(self) -> Corpus:
        """All records of the world: trained ones with split None, then `holdout`, then `control`."""

    @abstractmethod
    def controls(self, subject: str, m: int = 4) -> list[Record]:
        """Records of `m` never-trained controls of `subject`; `InputError` if the world has no such subject."""

    def with_controls(self, corpus: Corpus, subject: str, m: int = 40) -> Corpus:
        """`corpus` and those records of `m` controls of `subject` that it does not hold yet."""
        new = (r for r in self.controls(subject, m) if r.id not in corpus.by_id)
        return Corpus.of((*corpus.records, *new), corpus.name)

    def terms(self) -> Dictionary:
        """Terms of the world with the levels of their concepts; none in a world without concepts of its own."""
        return Dictionary.of(())

    def describe(self) -> dict[str, Any]:
        """What `world.json` holds: all settings, generator version, row counts, digest of the corpus."""
        corpus = self.corpus()
        return {
            "world": self.name,
            "generator_version": self.version,
            "synthetic": True,
            "settings": self.model_dump(mode="json"),
            "rows": dict(sorted(Counter(r.split or "trained" for r in corpus).items())),
            "digest": corpus.digest,
        }
