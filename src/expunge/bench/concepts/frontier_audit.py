"""What a private run says of itself, and what canaries say of it: epsilon from above and from below.

Surprising: canaries go into a run of their own. It has the same recipe and the same epsilon, but a hundred invented
people beside the real ones, which would change what is left of the target and what is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from expunge._io import read_json, write_json
from expunge.bench.concepts.cell import Cell
from expunge.bench.concepts.lab import Lab
from expunge.bench.concepts.rows import Row
from expunge.bench.tune import Setting
from expunge.engine.privacy.canaries import bound, make
from expunge.engine.unlearn import unlearn
from expunge.errors import RunFailed
from expunge.privacy.empirical_bound import epsilon_at_least
from expunge.scope.split import Split

CONFIDENCE = 0.95
DELTA = 1e-5  # of the bound where the run itself states none
COINS = 7_001  # added to the cell's seed: coins of canaries are not those of anything else
Columns = dict[str, float | None]


def stated(statement: Mapping[str, Any]) -> Columns:
    """Columns from `privacy.json` of a run; `noise` and `rate` by side, epsilon by accountant, None where withheld."""
    of_side = {query["query"]: query for query in statement["queries"]}
    epsilon = statement["epsilon"] or {}
    asked = {
        f"{key}_{side}": float(query[key]) for side, query in of_side.items() for key in ("noise", "rate", "steps")
    }
    return (
        asked
        | {name: epsilon.get(name) for name in ("pld", "prv", "rdp")}
        | {
            "delta": statement["delta"],
            "guarantee": float(statement["guarantee"]),
            "units": float(statement["units"]["together"]),
        }
    )


def statement(lab: Lab, cell: Cell, row: Row, setting: Setting) -> Columns:
    """Columns of what a finished run stated; empty for a run without a section `privacy`."""
    path = lab.run_folder(cell, row, setting) / "run-1" / "privacy.json"
    return stated(read_json(path)) if path.is_file() else {}


def watched(lab: Lab, cell: Cell, row: Row, setting: Setting, count: int) -> dict[str, Any]:
    """One run with `count` canaries among the retained people, and how epsilon is bounded from below; kept.

    `bound` as `lower_bound.EpsilonBound`; `largest` is the bound if every guess were right. Half of the coins are guessed.
    """
    note = _note(lab, cell, row, setting, count)
    if note.is_file():
        found: dict[str, Any] = read_json(note)
        return found
    (stage,), sets, original = lab.stages(cell, row, setting), cell.sets(), lab.model(cell, "original")
    canaries = make(sets.split.retain, count, cell.seed + COINS)
    split = canaries.plant(Split("bench", stage.forget, tuple(sets.split.retain), ()))
    try:
        run = unlearn(original, split, stage.recipe, note.with_suffix(""))
    except RunFailed as error:
        found = {"failed": str(error)}
    else:
        own = run / "privacy.json"
        delta = read_json(own)["delta"] if own.is_file() else DELTA
        guesses = count // 2
        least = bound(canaries, original, run, guesses=guesses, delta=delta, confidence=CONFIDENCE)
        found = {
            "failed": None,
            "bound": asdict(least),
            "included": sum(canaries.included),
            "largest": epsilon_at_least(guesses, guesses, count, delta, CONFIDENCE),
        }
    write_json(note, found)
    return found


def was_watched(lab: Lab, cell: Cell, row: Row, setting: Setting, count: int) -> bool:
    """Is there nothing left for `watched` to do?"""
    return _note(lab, cell, row, setting, count).is_file()


def _note(lab: Lab, cell: Cell, row: Row, setting: Setting, count: int) -> Path:
    folder = lab.run_folder(cell, row, setting)
    return folder.with_name(f"{folder.name}-canaries-{count}.json")
