"""Base of synthetic worlds: settings that determine a corpus with known facts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Self

from pydantic import ValidationError

from expunge._config import FrozenModel
from expunge._registry import Registry
from expunge._validation import input_error
from expunge.concepts.dictionary import Dictionary
from expunge.corpus import Corpus, Record
from expunge.errors import InputError, unknown
from expunge.synthetic.facts import CANDIDATES

WORLDS: Registry[type[World]] = Registry("world", "expunge.synthetic")


class World(FrozenModel, ABC):
    """Base of all worlds. Subclass with `class Hospital(World, name="hospital")`; fields are its settings.

    Attributes:
        version: of the generator; changes whenever the same settings give other rows
        presets: name -> settings that differ from the defaults
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
        """All records: trained ones (split None), then `holdout`, then `control`."""

    @abstractmethod
    def controls(self, subject: str, m: int = 4) -> list[Record]:
        """Records of `m` never-trained controls of `subject`; `InputError` if the world has no such subject."""

    def with_controls(self, corpus: Corpus, subject: str, m: int = 40) -> Corpus:
        """`corpus` with the records of `m` controls of `subject` that it does not hold yet."""
        new = (r for r in self.controls(subject, m) if r.id not in corpus.by_id)
        return Corpus.of((*corpus.records, *new), corpus.name)

    def terms(self) -> Dictionary:
        """Terms with the levels of their concepts; none in a world without concepts."""
        return Dictionary.of(())

    def describe(self) -> dict[str, Any]:
        """The content of `world.json`: settings, generator version, row counts, digest of the corpus."""
        corpus = self.corpus()
        return {
            "world": self.name,
            "generator_version": self.version,
            "synthetic": True,
            "settings": self.model_dump(mode="json"),
            "rows": dict(sorted(Counter(r.split or "trained" for r in corpus).items())),
            "digest": corpus.digest,
        }


def check_subjects(names: Collection[str], subjects: Collection[str], where: str) -> None:
    """`InputError` where one of `names` is no trained subject."""
    for name in names:
        if name not in subjects:
            raise unknown("trained subject", name, subjects, where)


def check_control_count(subject: str, m: int, subjects: Collection[str]) -> None:
    """`InputError` where `subject` has no controls, or not `m` of them."""
    if not 0 <= m < CANDIDATES:
        raise InputError("controls", f"{m} controls are not possible", f"ask for 0 to {CANDIDATES - 1}")
    check_subjects((subject,), subjects, "controls")
