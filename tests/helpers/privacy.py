"""Private recipes, and loops on four people, in a second each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from expunge.corpus import Record
from expunge.engine.loop import Loop
from expunge.engine.privacy.privacy_engine import PrivacyEngine, PrivateGradientSource
from expunge.engine.recipe import Recipe
from expunge.privacy.config import PrivacyConfig
from helpers.runs import loop, recipe

FIXED = {"noise": 1.0, "seed": 5}  # reproducible, and nothing to solve for
UNFELT = {"noise": 1e-15, "clip": 1e6, "seed": 5, "forget_rate": 1.0, "retain_rate": 1.0}  # everybody, no noise


def private(method: str = "npo", privacy: dict[str, Any] | None = None, **changes: Any) -> Recipe:
    return recipe(method, privacy=PrivacyConfig(**(FIXED if privacy is None else privacy)), **changes)


def private_loop(folder: Path, plan: Recipe) -> Loop:
    built = loop(folder, plan)
    assert isinstance(built.source, PrivateGradientSource)
    return built


def engine_of(built: Loop) -> PrivacyEngine:
    """The privacy engine of a private loop."""
    assert isinstance(built.source, PrivateGradientSource)
    return built.source.engine


def people(**records: int) -> list[Record]:
    """So many records of each."""
    return [
        Record(f"{name}-{k}", f"what is {k} of {name}", f"it is {k}", subject=name)
        for name, count in records.items()
        for k in range(count)
    ]
