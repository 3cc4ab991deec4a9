"""Worlds of knowledge by one spelling of their settings, with the part of the target's chapter that is to be forgotten.

Surprising: the hospital calls the same settings by other names, because it has patients beside its knowledge.
"""

from __future__ import annotations

from typing import Any

from expunge.bench.concepts.cell import Domain
from expunge.synthetic.base import WORLDS

HOSPITAL = {
    "targets": "procedures",
    "per_level": "knowledge_per_level",
    "facts": "knowledge_facts",
    "foundations": "knowledge_foundations",
    "polysemes": "knowledge_polysemes",
}
PRESETS = {"hospital": "surgery-small", "mental-health": "small", "finance": "small"}


class Chapter(Domain):
    """A world that a suite looks at in one size only, so that its name says which it is."""

    def __str__(self) -> str:
        return self.world


def whole(world: str, **settings: int) -> Chapter:
    """All of the target's chapter is to be forgotten: L4, and the fundamentals taught beside it (`foundations`).

    settings as in `worlds.syllabus.Syllabus`
    """
    domain = _domain(world, settings)
    return domain.model_copy(update={"target": made(domain, 0).chapter})


def with_words(world: str, spared: int, **settings: int) -> Chapter:
    """L4 is to be forgotten but for the target senses of the last `spared` words with two senses (`polysemes`).

    Words are dealt to places by the seed, so other words are spared at another seed.
    """
    domain = _domain(world, settings)
    last = settings["polysemes"]
    names = " or ".join(f"concept:L4-p{k:03d}" for k in range(last - spared + 1, last + 1))
    target = made(domain, 0).target
    return domain.model_copy(update={"target": f"{target} and not ({names})" if spared else target})


def made(domain: Domain, seed: int) -> Any:
    """The world of a domain at a seed."""
    kind: Any = WORLDS.get(domain.world, "world")
    return kind.preset(domain.preset, seed=seed, **domain.settings)


def _domain(world: str, settings: dict[str, int]) -> Chapter:
    named = {HOSPITAL[k]: v for k, v in settings.items()} if world == "hospital" else settings
    return Chapter(world=world, preset=PRESETS[world], settings=named)
