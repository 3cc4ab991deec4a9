"""Where models and runs are stored: a folder's name holds a digest of what its content was made from.

worlds/<world>-<seed>-<digest>/tokenizer, original     shared by all requests to a world
cells/<world>-<seed>-<digest>/retrained, retrained-2, and .../<model>.scores
cells/<...>/runs/<arm>-<digest>/, ...json (the outcome), ...scores, ...<measure>.json
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from expunge._io import digest, read_json
from expunge.bench.base_model import PretrainedBase
from expunge.bench.experiment import REFERENCES, Arm, Experiment
from expunge.bench.pipeline import Stage, Trial, key, stages
from expunge.bench.world_instance import RecordSets, WorldInstance
from expunge.engine.run_directory import RunDirectory
from expunge.engine.train.train_file import read_train_file
from expunge.models.tiny import TinyConfig

SCORED = "holdout.npz"  # the last file of a scoring pass


@dataclass(frozen=True)
class Runner:
    """Paths of one experiment under the folder `out`."""

    out: Path
    experiment: Experiment

    @property
    def scored(self) -> bool:
        """Is every model scored on the sets of its world? Not where trials are judged by a measure of their own."""
        return not self.experiment.tune.measure

    def model_of(self, cell: WorldInstance) -> TinyConfig | PretrainedBase:
        """The model from scratch, or the base, of a world instance."""
        return self.experiment.model_of(cell.request)

    def _trained_with(self, cell: WorldInstance) -> str:
        model, settings = self.model_of(cell), self.experiment.train
        return digest([model.model_dump(mode="json"), settings.model_dump(mode="json")])

    def folder(self, cell: WorldInstance) -> Path:
        return self.out / "cells" / f"{cell.request.world}-{cell.seed}-{_digest(cell, self._trained_with(cell))}"

    def world(self, cell: WorldInstance) -> Path:
        """Folder of what does not depend on the target: the tokenizer and the original."""
        return self.out / "worlds" / f"{cell.request.world}-{cell.seed}-{_world_digest(cell, self._trained_with(cell))}"

    def reference(self, cell: WorldInstance, name: str) -> ModelPlace:
        """The original or a retrained model; what was trained on records of its own serves every target of them."""
        shared = name == REFERENCES[0] or cell.sets().shared_retrained
        model = (self.world(cell) if shared else self.folder(cell)) / name
        return ModelPlace(self, cell, name, model, self.folder(cell) / name)

    def run(self, cell: WorldInstance, arm: Arm, trial: Trial) -> ModelPlace:
        """The run of an arm with a trial."""
        parts = self.stages(cell, arm, trial)
        folder = self.folder(cell) / "runs" / f"{arm.name}-{key(parts)}"
        return ModelPlace(self, cell, arm.name, folder / f"run-{len(parts)}", folder, arm, trial)

    def stages(self, cell: WorldInstance, arm: Arm, trial: Trial) -> tuple[Stage, ...]:
        sets, batch = cell.sets(), self.experiment.batch
        trial = trial.model_copy(update={"steps": max(1, round(trial.steps * arm.steps))})
        return stages(arm.name, arm.recipes(), sets.forget, trial, batch, cell.seed, arm.after, sets.dictionary)

    def training(self, cell: WorldInstance, name: str) -> dict[str, Any]:
        """Outcome of `train_reference`: share of its rows that the model gives exactly, seconds, parameters."""
        report = read_train_file(self.reference(cell, name).model)
        progress = report["progress"]
        shown = {"share": progress["accuracy"], "seconds": progress["seconds"]}
        return shown | {"epochs": progress["epoch"], "parameters": report["parameters"], "progress": progress}


@dataclass(frozen=True)
class ModelPlace:
    """A model of a world instance and its files: `base` is the path that their names start with."""

    runner: Runner
    cell: WorldInstance
    name: str
    model: Path
    base: Path
    arm: Arm | None = None
    trial: Trial | None = None

    @property
    def template(self) -> str:
        """Prompt template of the base, which its references and runs keep."""
        model = self.runner.model_of(self.cell)
        return model.template if isinstance(model, PretrainedBase) else "auto"

    @property
    def sets(self) -> RecordSets:
        return self.cell.sets()

    @property
    def options(self) -> Any:
        """Settings of measures in the experiment."""
        return self.runner.experiment.options

    def file(self, suffix: str) -> Path:
        return self.base.with_name(f"{self.base.name}.{suffix}")

    def done(self) -> bool:
        """Is there nothing left to do for this model?"""
        if self.arm is not None:
            return self.file("json").is_file()
        return (self.file("scores") / SCORED if self.runner.scored else self.model / "train.json").is_file()

    def failure(self) -> str:
        """Why there is no model, or an empty string."""
        return str(read_json(self.file("json"))["failed"] or "") if self.arm else ""

    def observation(self, measure: str) -> Any:
        """What the measure observed; None where it did not look."""
        path = self.file(f"{measure}.json")
        return read_json(path) if path.is_file() else None

    def reference(self, name: str) -> ModelPlace:
        """The original or a retrained model of the same world instance."""
        return self.runner.reference(self.cell, name)

    def events(self) -> list[dict[str, Any]]:
        """Events of all runs of the arm, step by step."""
        count = len(self.stages())
        return [e for k in range(1, count + 1) for e in RunDirectory(self.base / f"run-{k}", {}).events()]

    def stages(self) -> tuple[Stage, ...]:
        """Stages of a run; a reference has none."""
        if self.arm is None or self.trial is None:
            return ()
        return self.runner.stages(self.cell, self.arm, self.trial)


@lru_cache(maxsize=64)
def _digest(cell: WorldInstance, trained_with: str) -> str:
    about = cell.model_dump(mode="json", exclude={"request": {"label"}})
    return digest([about, cell.sets().digest, trained_with])[:8]


@lru_cache(maxsize=64)
def _world_digest(cell: WorldInstance, trained_with: str) -> str:
    counts = dict(cell.request.settings) if cell.sets().training else {}
    return digest([cell.sets().corpus.digest, counts, trained_with])[:8]
