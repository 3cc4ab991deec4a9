"""Flip single bits in the files of a finished run and audit, and count what `expunge verify` and loading find.

A tiny model is trained, unlearned and audited. The flips are spread evenly over the files of the run, of the model that
it stands on, and of the audit; within a file, byte and bit are drawn. One bit is wrong at a time. A flip that nothing
finds must not change what the program reads: the same JSON value, the same tensors, or a page for people only.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.reliability.page import write_part
from benchmarks.speed.program import Parts, Results, positive, program, say
from expunge.audit.run import audit
from expunge.audit.verify import verify
from expunge.cli.result import ResultTable
from expunge.engine.recipe import Recipe
from expunge.engine.train.train_loop import TrainConfig
from expunge.engine.train.train_model import train
from expunge.engine.unlearn import unlearn
from expunge.errors import InputError
from expunge.models.language_model import load
from expunge.models.tiny import TinyConfig
from expunge.scope import Scope, Split
from expunge.synthetic.hospital.hospital import Hospital

TARGET = "patient:P-0001-001"
TINY = TinyConfig(layers=2, width=32, heads=2, vocabulary=400, context=128)


@dataclass
class FlippedFile:
    """What became of the flips in one file: found by verification, by loading, without meaning, or missed."""

    name: str
    size: int
    verified: int = 0
    loaded: int = 0
    same: int = 0
    missed: list[str] = field(default_factory=list)

    @property
    def flips(self) -> int:
        return self.verified + self.loaded + self.same + len(self.missed)


@dataclass(frozen=True)
class FinishedCase:
    """A finished run on a model, its audit, and the records of both."""

    root: Path
    split: Split

    @property
    def model(self) -> Path:
        return self.root / "model"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def audit(self) -> Path:
        return self.root / "audit"

    def files(self) -> list[Path]:
        """The files of the case; a model is trained once more than it is flipped, so train.json is no part of it."""
        files = (f for folder in (self.run, self.model, self.audit) for f in folder.rglob("*") if f.is_file())
        return sorted(f for f in files if f.name != "train.json" and f.stat().st_size)

    def is_noticed(self, file: Path) -> bool:
        """Whether verification finds that `file` is not as it was written."""
        folder = self.audit if file.is_relative_to(self.audit) else self.run
        try:
            return bool(verify(folder, split=self.split).problems)
        except InputError:
            return True

    def refused(self, file: Path) -> bool:
        """Whether the run cannot be loaded."""
        if file.is_relative_to(self.audit):
            return False
        try:
            load(self.run)
        except InputError:
            return True
        return False


def finished_case(root: Path, preset: str = "default") -> FinishedCase:
    """Train, unlearn and audit a tiny model in `root`."""
    world = Hospital.preset("tiny", seed=7, controls_for=(TARGET,), controls_per_target=2)
    corpus = world.corpus()
    split = Scope.parse(TARGET).resolve(corpus, seed=7)
    train(corpus.trained, root / "model", tiny=TINY, settings=TrainConfig(epochs=2, seed=7))
    unlearn(root / "model", split, Recipe.load("npo").with_overrides(["steps=4", "seed=7"]), root / "run")
    audit(root / "model", root / "run", split, root / "audit", preset=preset)
    return FinishedCase(root, split)


def flip_bits(case: FinishedCase, count: int, seed: int = 0) -> list[FlippedFile]:
    """Flip `count` bits one after the other; every file is as before at the end.

    Raises:
        InputError: the case does not fit before anything is flipped.
    """
    files = case.files()
    for folder in (case.run, case.audit):
        for line in verify(folder, split=case.split).problems:
            raise InputError(str(folder), f"does not fit before a flip ({line})")
    results = {file: FlippedFile(str(file.relative_to(case.root)), file.stat().st_size) for file in files}
    for file, place, bit in _places(files, count, seed):
        before = file.read_bytes()
        after = bytearray(before)
        after[place] ^= 1 << bit
        file.write_bytes(after)
        try:
            _judge(case, file, before, bytes(after), results[file], f"byte {place} bit {bit}")
        finally:
            file.write_bytes(before)
    return list(results.values())


def _places(files: list[Path], count: int, seed: int) -> Iterator[tuple[Path, int, int]]:
    rng = np.random.default_rng(seed)
    for k in range(count):
        file = files[k % len(files)]
        yield file, int(rng.integers(file.stat().st_size)), int(rng.integers(8))


def _judge(case: FinishedCase, file: Path, before: bytes, after: bytes, result: FlippedFile, where: str) -> None:
    if case.is_noticed(file):
        result.verified += 1
    elif reads_the_same(file.name, before, after):
        result.same += 1
    elif case.refused(file):
        result.loaded += 1
    else:
        result.missed.append(where)


def reads_the_same(name: str, before: bytes, after: bytes) -> bool:
    """Whether the program reads the same from both: JSON values, tensors, or nothing from a page for people."""
    if name.endswith(".md"):
        return True
    try:
        if name.endswith(".json"):
            return bool(json.loads(before) == json.loads(after))
        if name.endswith(".safetensors"):
            from safetensors.torch import load as tensors

            one, two = tensors(before), tensors(after)
            return set(one) == set(two) and all(
                one[k].dtype == two[k].dtype and one[k].shape == two[k].shape and one[k].equal(two[k]) for k in one
            )
    except Exception:  # what no longer reads is not the same, whatever the reader says
        return False
    return False


# ---- the page -------------------------------------------------------------------------------------------------------


def measure(flips: int, seed: int, page: str | None) -> Results:
    """The counts by file; written into `page` where one is named."""
    with tempfile.TemporaryDirectory() as folder:
        say("train, unlearn and audit a tiny model")
        case = finished_case(Path(folder))
        say(f"flip {flips} bits in {len(case.files())} files")
        rows = flip_bits(case, flips, seed)
    result: Results = {
        "flips": flips,
        "seed": seed,
        "files": [
            {
                "file": r.name,
                "bytes": r.size,
                "flips": r.flips,
                "verify": r.verified,
                "load": r.loaded,
                "no change of meaning": r.same,
                "missed": r.missed,
            }
            for r in sorted(grouped(rows), key=lambda r: r.name)
        ],
    }
    if page:
        write_part(Path(page), "bit_flips", section(result))
    return result


def grouped(rows: list[FlippedFile]) -> list[FlippedFile]:
    """Files of scores, which differ in name only, as one."""
    groups: dict[str, FlippedFile] = {}
    for row in rows:
        name = "audit/scores/*.npz" if row.name.endswith(".npz") else row.name
        group = groups.setdefault(name, FlippedFile(name, 0))
        group.size += row.size
        group.verified += row.verified
        group.loaded += row.loaded
        group.same += row.same
        group.missed += row.missed
    return list(groups.values())


COLUMNS = ("file", "bytes", "flips", "verify", "load", "no change of meaning", "missed")


def _cells(result: Results) -> list[list[Any]]:
    rows = [[row[c] for c in COLUMNS[:-1]] + [len(row["missed"])] for row in result["files"]]
    return [*rows, ["all", *(sum(row[k] for row in rows) for k in range(1, len(COLUMNS)))]]


def section(result: Results) -> str:
    """The section of the page: what was done, and the table."""
    command = f"python -m benchmarks.reliability.bit_flips --flips {result['flips']} --seed {result['seed']}"
    table = "\n".join("| " + " | ".join(map(str, row)) + " |" for row in _cells(result))
    return f"""## Bit flips

{result["flips"]:,} times one bit of a file was flipped: in a finished run, in the model that it stands on, and in its
audit. `verify` counts the flips that `expunge verify` finds, `load` those that only loading refuses. Of the others the
program reads the same as before: white space in JSON, the notes in the header of a weight file, a page for people.
Measured with `{command}` on {datetime.now(UTC).date().isoformat()}.

| {" | ".join(COLUMNS)} |
| --- |{" ---: |" * (len(COLUMNS) - 1)}
{table}
"""


def parts(result: Results) -> Parts:
    """The table for a terminal."""
    return (ResultTable(COLUMNS, _cells(result)),)


main = program(
    __doc__,
    measure,
    parts,
    flips={"type": positive, "default": 1000, "help": "bits to flip (default: 1000)"},
    seed={"type": int, "default": 0, "help": "of the places (default: 0)"},
    page={"default": None, "help": "Markdown page whose part is replaced"},
)

if __name__ == "__main__":
    raise SystemExit(main(None))
