"""What was released, and the two files of a private run: `privacy.json`, which stays, and its secret seed, which goes.

A step that a killed run had done and its successor does again gets the same draw and the same noise: the same
release, charged once. That needs the seed, so it lies in the run folder (readable by its owner only) while the run
goes on. Once the run is finished it is deleted: with it, anybody could take the noise off again.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from expunge._io import read_json, write_json
from expunge.engine.privacy.budget import PrivacyBudget
from expunge.errors import InputError, RunFailed
from expunge.gradients.saliency import Side
from expunge.privacy.config import PrivacyConfig

STATEMENT, SEED = "privacy.json", "privacy-seed.json"


@dataclass
class PrivacyLedger:
    """Releases of every side: how many, and the step of the last one.

    resumed   how often a run took it up again
    withheld  why no epsilon may be stated, since a self-test failed in some phase; empty if none did
    """

    released: dict[str, int] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)
    resumed: int = 0
    withheld: str = ""

    def charge(self, side: Side, step: int, plan: PrivacyBudget) -> None:
        """Count one release. `RunFailed` if that was not planned: the run would cost more than it says."""
        if step <= self.last.get(side, -1) or self.released.get(side, 0) >= plan.sides[side].steps:
            raise RunFailed(f"step {step}", f"asks the {side} set once more than was planned and paid for")
        self.last[side] = step
        self.released[side] = self.released.get(side, 0) + 1

    def state(self) -> dict[str, Any]:
        return {"released": self.released, "last": self.last, "resumed": self.resumed, "withheld": self.withheld}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.released, self.last = dict(state["released"]), dict(state["last"])
        self.resumed, self.withheld = int(state["resumed"]) + 1, state["withheld"]


def seed_for(settings: PrivacyConfig, folder: Path | None) -> int:
    """The seed of draws and noise: fixed by the recipe, that of the run in `folder`, or 128 fresh secret bits.

    `InputError` where the run in `folder` has begun and its seed is gone.
    """
    if settings.seed is not None:
        return settings.seed
    if folder is not None and (folder / SEED).is_file():
        return int(read_json(folder / SEED)["seed"], 16)
    if folder is not None and (folder / STATEMENT).is_file():
        raise InputError(
            str(folder / SEED),
            "is gone, and the steps done so far cannot be repeated with equal noise",
            "start the run again in another folder; both then count",
        )
    return secrets.randbits(128)


def keep_seed(folder: Path, seed: int) -> None:
    """Write the seed where only the owner may read it, unless it is there."""
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
    """The run is finished: nobody needs the seed any more."""
    (folder / SEED).unlink(missing_ok=True)


def recorded_noise(folder: Path | None) -> dict[str, float] | None:
    """Noise multipliers that an earlier start of the run in `folder` has solved for, by side."""
    if folder is None or not (folder / STATEMENT).is_file():
        return None
    return {query["query"]: query["noise"] for query in read_json(folder / STATEMENT)["queries"]}


def write(folder: Path, statement: Mapping[str, Any]) -> None:
    """Write `privacy.json`."""
    write_json(folder / STATEMENT, dict(statement))
