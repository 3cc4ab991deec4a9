"""The releases of a private run, and its two files: `privacy.json`, and the secret seed while the run is unfinished.

A step that a killed run had done and its successor repeats has the same draw and noise, so it is the same release and
charged once. This requires the seed, which is in the run directory, readable by its owner only. A finished run deletes
it: with the seed, anyone could remove the noise.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field, FiniteFloat

from expunge._config import FileModel, FrozenModel
from expunge._io import write_json
from expunge._validation import read_valid
from expunge.engine.privacy.budget import PrivacyBudget
from expunge.errors import InputError, RunFailed
from expunge.gradients.saliency import Side
from expunge.privacy.config import PrivacyConfig

STATEMENT, SEED = "privacy.json", "privacy-seed.json"
CHANGED = "the file was changed after it was written; restore it, or start the run again in another folder"


class SeedFile(FrozenModel):
    """The content of `privacy-seed.json`."""

    seed: str = Field(pattern=r"^[0-9a-f]{1,32}$")


class QueryLine(FileModel):
    """What is read back of a query in `privacy.json`."""

    query: str
    noise: FiniteFloat = Field(ge=0)


class StatementFile(FileModel):
    """What is read back of `privacy.json`."""

    status: str
    queries: list[QueryLine]


@dataclass
class PrivacyLedger:
    """Releases of each side.

    Attributes:
        released: number of releases.
        last: step of the last release.
        resumed: how often the run was resumed.
        withheld: why no epsilon is stated (a self-test failed); empty if none failed.
    """

    released: dict[str, int] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)
    resumed: int = 0
    withheld: str = ""

    def charge(self, side: Side, step: int, budget: PrivacyBudget) -> None:
        """Count one release; `RunFailed` for one beyond the budget."""
        if step <= self.last.get(side, -1) or self.released.get(side, 0) >= budget.sides[side].steps:
            raise RunFailed(f"step {step}", f"queries the {side} set once more than the budget allows")
        self.last[side] = step
        self.released[side] = self.released.get(side, 0) + 1

    def state(self) -> dict[str, Any]:
        return {"released": self.released, "last": self.last, "resumed": self.resumed, "withheld": self.withheld}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.released, self.last = dict(state["released"]), dict(state["last"])
        self.resumed, self.withheld = int(state["resumed"]) + 1, state["withheld"]


def seed_for(settings: PrivacyConfig, folder: Path | None) -> int:
    """The seed of draws and noise: from the recipe, from the run in `folder`, or 128 new secret bits.

    Raises:
        InputError: the run in `folder` has begun and its seed is missing.
    """
    if settings.seed is not None:
        return settings.seed
    if folder is not None and (folder / SEED).is_file():
        return int(read_valid(SeedFile, folder / SEED, CHANGED)["seed"], 16)
    if folder is not None and (folder / STATEMENT).is_file():
        raise InputError(
            str(folder / SEED),
            "is missing, so finished steps cannot be repeated with the same noise",
            "start the run again in another folder; the cost of both adds up",
        )
    return secrets.randbits(128)


def keep_seed(folder: Path, seed: int) -> None:
    """Write the seed, readable by the owner only, unless it is there."""
    path = folder / SEED
    if path.is_file():
        return
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(f'{{"seed": "{seed:x}"}}\n')
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(path)


def drop_seed(folder: Path) -> None:
    """Delete the seed of a finished run."""
    (folder / SEED).unlink(missing_ok=True)


def recorded_noise(folder: Path | None) -> dict[str, float] | None:
    """Noise multipliers by side from an earlier start of the run in `folder`."""
    if folder is None or not (folder / STATEMENT).is_file():
        return None
    return {query["query"]: query["noise"] for query in read_statement(folder)["queries"]}


def read_statement(folder: Path) -> dict[str, Any]:
    """The content of `privacy.json`; `InputError` for one that no run wrote."""
    return read_valid(StatementFile, folder / STATEMENT, CHANGED)


def write(folder: Path, statement: Mapping[str, Any]) -> None:
    """Write `privacy.json`."""
    write_json(folder / STATEMENT, dict(statement))
