"""Private recipes, and loops on four people, in a second each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine_builders import loop, recipe

from expunge.corpus import Record
from expunge.engine.loop import Loop
from expunge.engine.private.settings import Privacy
from expunge.engine.recipe import Recipe

FIXED = {"noise": 1.0, "seed": 5}  # reproducible, and nothing to solve for
UNFELT = {"noise": 1e-15, "clip": 1e6, "seed": 5, "forget_rate": 1.0, "retain_rate": 1.0}  # everybody, no noise


def private(method: str = "npo", privacy: dict[str, Any] | None = None, **changes: Any) -> Recipe:
    return recipe(method, privacy=Privacy(**(FIXED if privacy is None else privacy)), **changes)


def private_loop(folder: Path, plan: Recipe) -> Loop:
    found = loop(folder, plan)
    assert found.private is not None
    return found


def people(**records: int) -> list[Record]:
    """So many records of each."""
    return [Record(f"{name}-{k}", f"what is {k} of {name}", f"it is {k}", subject=name)
            for name, count in records.items() for k in range(count)]
