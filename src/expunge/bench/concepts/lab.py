"""The laboratory: models of a cell and runs on them, each made once in a folder whose name says what it was made of.

`teach` and `perform` do one piece of work from its description alone, so they can stand in any process. A killed
command goes on where it stopped; what another recipe, world or size would have made has another name.

    worlds/<world>-<seed>-<digest>/tokenizer, original      shared by all cells of a world, whatever their target
    cells/<world>-<seed>-<digest>/retrained, retrained-2, and …/<model>.scores
    cells/<…>/runs/<row>-<digest>/, …/<row>-<digest>.json (what became of it), …/<row>-<digest>.scores
"""

from __future__ import annotations

import math
import os
import shutil
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from expunge._io import digest, read_json, write_json
from expunge.bench.concepts.cell import Cell
from expunge.bench.concepts.measure import Scored, columns
from expunge.bench.concepts.rows import REFERENCES, Row
from expunge.bench.stages import Stage, key, plan, run
from expunge.bench.tune import Setting
from expunge.engine.train.train_loop import TrainConfig
from expunge.engine.train.train_model import train
from expunge.errors import InputError, RunFailed
from expunge.models.adapters import prepare, trainable
from expunge.models.language_model import load, merge_adapter
from expunge.models.loss_cache import remember
from expunge.models.tiny import TinyConfig, texts_of, train_tokenizer
from expunge.models.vision.tiny_vision import TinyVision

Columns = dict[str, float | None]
_ASKED: dict[bytes, Any] = {}  # what originals said before, to runs of this process


class Bench(BaseModel):
    """What all cells of a lab share."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: TinyConfig
    vision: TinyVision = Field(TinyVision(), description="vision tower, where the cells show pictures")
    memorise: TrainConfig = Field(description="its seed is replaced by the cell's")
    batch: int = Field(ge=1, description="forget rows and retain rows per step")


@dataclass(frozen=True)
class Lab:
    """Cells under the folder `out`."""

    out: Path
    bench: Bench

    def folder(self, cell: Cell) -> Path:
        return self.out / "cells" / f"{cell.domain.world}-{cell.seed}-{_digest(cell, self.bench)}"

    def world(self, cell: Cell) -> Path:
        """What does not depend on the target: the tokenizer and the original."""
        return self.out / "worlds" / f"{cell.domain.world}-{cell.seed}-{_world_digest(cell, self.bench)}"

    def model(self, cell: Cell, name: str) -> Path:
        """Where the original or a retrained model lies."""
        return (self.world(cell) if name == REFERENCES[0] else self.folder(cell)) / name

    def scores(self, cell: Cell, name: str) -> Path:
        return self.folder(cell) / f"{name}.scores"

    def stages(self, cell: Cell, row: Row, setting: Setting) -> tuple[Stage, ...]:
        return plan(row.name, row.known(), cell.sets().forget, setting, self.bench.batch, cell.seed, row.first)

    def run_folder(self, cell: Cell, row: Row, setting: Setting) -> Path:
        return self.folder(cell) / "runs" / f"{row.name}-{key(self.stages(cell, row, setting))}"

    def model_of(self, cell: Cell, row: Row, setting: Setting) -> Path | None:
        """Where the model that came out can be loaded from; None if the run failed."""
        folder = self.run_folder(cell, row, setting)
        found = read_json(folder.with_name(folder.name + ".json"))
        return None if found["failed"] else folder / found["model"]

    def taught(self, cell: Cell, name: str) -> dict[str, Any]:
        """What `teach` left behind: share of its answers that the model gives exactly, seconds, parameters."""
        found = read_json(self.model(cell, name) / "train.json")
        return {
            "share": found["progress"]["accuracy"],
            "seconds": found["progress"]["seconds"],
            "epochs": found["progress"]["epoch"],
            "parameters": found["parameters"],
        }

    def reference(self, cell: Cell, name: str) -> Columns:
        """Columns of the original or of a retrained model."""
        return self._columns(cell, self.scores(cell, name)) | {
            "trainable_share": 0.0 if name == "original" else 1.0,
            "seconds": self.taught(cell, name)["seconds"],
        }

    def result(self, cell: Cell, row: Row, setting: Setting) -> Columns | str:
        """Columns of a run that `perform` made, or why there are none."""
        folder = self.run_folder(cell, row, setting)
        found = read_json(folder.with_name(folder.name + ".json"))
        if found["failed"]:
            return str(found["failed"])
        more: Columns = {name: found[name] for name in ("trainable_share", "seconds")}
        return self._columns(cell, folder.with_name(folder.name + ".scores")) | more

    def _columns(self, cell: Cell, folder: Path) -> Columns:
        original, retrained = (_scored(self.scores(cell, name)) for name in REFERENCES[:2])
        return columns(Scored.load(folder), original, retrained, cell.sets())


@lru_cache(maxsize=64)
def _digest(cell: Cell, bench: Bench) -> str:
    made = cell.model_dump(mode="json", exclude={"domain": {"label"}})
    return digest(
        [made, cell.sets().digest, bench.model.model_dump(mode="json"), bench.memorise.model_dump(mode="json")]
    )[:8]


@lru_cache(maxsize=64)
def _world_digest(cell: Cell, bench: Bench) -> str:
    return digest(
        [cell.sets().corpus.digest, bench.model.model_dump(mode="json"), bench.memorise.model_dump(mode="json")]
    )[:8]


@lru_cache(maxsize=8)
def _scored(folder: Path) -> Scored:
    return Scored.load(folder)


def teach(lab: Lab, cell: Cell, name: str) -> dict[str, Any]:
    """Make and score the model `name` of a cell: `original`, `retrained`, or `retrained-2` (the next seed)."""
    folder = lab.model(cell, name)
    train(
        cell.sets().taught(name),
        folder,
        tiny=lab.bench.model,
        vision=lab.bench.vision,
        tokenizer_from=_tokenizer(lab, cell),
        settings=lab.bench.memorise.model_copy(update={"seed": cell.seed + (name == REFERENCES[2])}),
    )
    if not Scored.kept(lab.scores(cell, name)):
        Scored.of(load(folder), cell.sets()).save(lab.scores(cell, name))
    return lab.taught(cell, name)


def _tokenizer(lab: Lab, cell: Cell) -> Path:
    """One tokenizer for all models of a world, trained on every text so that it favours no set."""
    folder = lab.world(cell) / "tokenizer"
    if not folder.is_dir():
        fresh = folder.with_name(f"tokenizer.{os.getpid()}")
        train_tokenizer(texts_of(cell.sets().corpus), lab.bench.model.vocabulary).save_pretrained(fresh)
        try:
            fresh.replace(folder)
        except OSError:  # another process was first, with the same content
            shutil.rmtree(fresh)
    return folder


def taught(lab: Lab, cell: Cell, name: str) -> bool:
    """Is there nothing left for `teach` to do?"""
    return Scored.kept(lab.scores(cell, name))


def perform(lab: Lab, cell: Cell, row: Row, setting: Setting) -> dict[str, Any]:
    """One run and its scores, on the original of the cell. A run that diverges is a result, and says so."""
    folder = lab.run_folder(cell, row, setting)
    note = folder.with_name(folder.name + ".json")
    if note.is_file():
        found: dict[str, Any] = read_json(note)
        return found
    original, stages, sets = lab.model(cell, REFERENCES[0]), lab.stages(cell, row, setting), cell.sets()
    found = {"failed": None, "setting": setting.model_dump(), "model": f"run-{len(stages)}"}
    try:
        with remember(_ASKED):
            done = run(stages, original, sets.split.retain, folder)
        lm = merge_adapter(load(done))
    except RunFailed as error:
        found["failed"] = str(error)
    else:
        try:
            Scored.of(lm, sets).save(folder.with_name(folder.name + ".scores"))
        except InputError as error:  # weights that are no numbers any more
            found["failed"] = str(error)
        found |= {
            "trainable_share": share(original, stages),
            "seconds": math.fsum(
                read_json(folder / f"run-{k}" / "run.json")["seconds"] for k in range(1, len(stages) + 1)
            ),
        }
    write_json(note, found)
    return found


def performed(lab: Lab, cell: Cell, row: Row, setting: Setting) -> bool:
    folder = lab.run_folder(cell, row, setting)
    return folder.with_name(folder.name + ".json").is_file()


def share(original: Path, stages: tuple[Stage, ...]) -> float:
    """Trainable parameters over those of the model; the largest where there are several runs. An edit trains none."""
    found = [0.0]
    for stage in stages:
        if stage.recipe.resolve().edit:
            continue
        lm = load(original, device="cpu")
        whole = lm.parameters
        found.append(sum(p.numel() for p in trainable(prepare(lm.module, stage.recipe.train, 0)).values()) / whole)
    return max(found)
