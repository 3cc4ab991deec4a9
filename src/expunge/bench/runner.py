"""Jobs of an experiment: train a reference, run an arm, observe a model.

A job does one piece of work from its description alone, so it can run in any process; done work is not done again.
"""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path
from typing import Any

from expunge._io import read_json, write_json
from expunge.bench.base_model import PretrainedBase
from expunge.bench.experiment import REFERENCES, load_plugins
from expunge.bench.measures.base import MEASURES, Columns
from expunge.bench.measures.core import Scored, core_columns, original_scores, scores_of
from expunge.bench.pipeline import Stage, run_stages
from expunge.bench.places import ModelPlace, Runner
from expunge.bench.shallow_base import shallow_copy
from expunge.bench.workers import threads
from expunge.bench.world_instance import WorldInstance
from expunge.engine.train.fine_tune import HALF, stored_dtype
from expunge.engine.train.train_model import train
from expunge.errors import InputError, RunFailed
from expunge.models.adapters import prepare, trainable
from expunge.models.language_model import LanguageModel, load, merge_adapter
from expunge.models.loss_cache import remember
from expunge.models.run_file import read_run_file
from expunge.models.tiny import texts_of, train_tokenizer

_REFERENCE_LOSSES: dict[bytes, Any] = {}  # losses of originals, computed once per process


def train_reference(place: ModelPlace) -> dict[str, Any]:
    """Job: train and score `original`, `retrained`, or `retrained-2` (the next seed)."""
    load_plugins(place.runner.experiment.plugins)
    runner, cell = place.runner, place.cell
    base = runner.model_of(cell)
    seed = cell.seed + (place.name == REFERENCES[2])
    start: dict[str, Any]
    if isinstance(base, PretrainedBase):
        start = {"model": _base_folder(runner, cell, base), "template": base.template, "dtype": base.dtype}
        start["measure_general_ability"] = False
    else:
        tokenizer = _tokenizer(runner, cell, base.vocabulary)
        start = {"tiny": base, "vision": runner.experiment.vision, "tokenizer_from": tokenizer}
    settings = runner.experiment.train.model_copy(update={"seed": seed})
    train(cell.sets().trained(place.name), place.model, settings=settings, **start)
    if not place.done():
        Scored.of(load(place.model, template=place.template), cell.sets()).save(place.file("scores"))
    return runner.training(cell, place.name)


def _base_folder(runner: Runner, cell: WorldInstance, base: PretrainedBase) -> Path:
    """The base as given, or its shallower copy."""
    if base.every == 1:
        return base.path
    return shallow_copy(base, cell.sets().healing, runner.out / "bases")


def _tokenizer(runner: Runner, cell: WorldInstance, vocabulary: int) -> Path:
    """One tokenizer for all models of a world, trained on every text so that it favours no set."""
    folder = runner.world(cell) / "tokenizer"
    if not folder.is_dir():
        fresh = folder.with_name(f"tokenizer.{os.getpid()}")
        train_tokenizer(texts_of(cell.sets().corpus), vocabulary).save_pretrained(fresh)
        try:
            fresh.replace(folder)
        except OSError:  # another process was first, with the same content
            shutil.rmtree(fresh)
    return folder


def run_arm(place: ModelPlace) -> dict[str, Any]:
    """Job: one run and its scores, on the original of the world. A run that diverges is a result."""
    load_plugins(place.runner.experiment.plugins)
    if place.done():
        outcome: dict[str, Any] = read_json(place.file("json"))
        return outcome
    assert place.trial is not None
    parts = place.stages()
    original, sets = place.runner.reference(place.cell, REFERENCES[0]).model, place.sets
    outcome = {"failed": None, "setting": place.trial.model_dump(), "model": place.model.name}
    try:
        with remember(_REFERENCE_LOSSES), threads(place.arm.threads if place.arm else None):
            run_stages(parts, original, sets.split.retain, place.base, place.template)
            lm = load_merged(place)
    except RunFailed as error:
        outcome["failed"] = str(error)
    else:
        try:
            if place.runner.scored:
                Scored.of(lm, sets).save(place.file("scores"))
        except InputError as error:  # weights that are no numbers any more
            outcome["failed"] = str(error)
        reports = (read_run_file(place.base / f"run-{k}") for k in range(1, len(parts) + 1))
        seconds = math.fsum(report["seconds"] for report in reports)
        outcome |= {"trainable_share": trainable_share(original, parts), "seconds": seconds}
    write_json(place.file("json"), outcome)
    return outcome


def load_merged(place: ModelPlace) -> LanguageModel:
    """A model for scoring, its adapter merged; not into half precision, which would round small changes away."""
    lm = load(place.model, template=place.template)
    return lm if stored_dtype(lm) in HALF else merge_adapter(lm)


def trainable_share(original: Path, parts: tuple[Stage, ...]) -> float:
    """Trainable parameters over those of the model; the largest of several runs. An edit trains none."""
    shares = [0.0]
    for stage in parts:
        if stage.recipe.resolve().edit:
            continue
        lm = load(original, device="cpu")
        whole = lm.parameters
        shares.append(sum(p.numel() for p in trainable(prepare(lm.module, stage.recipe.train, 0)).values()) / whole)
    return max(shares)


def observe(place: ModelPlace, measures: tuple[str, ...]) -> dict[str, Any]:
    """Job: what these measures observe at a model, kept beside it; the model is loaded once."""
    load_plugins(place.runner.experiment.plugins)
    lm = None
    for name in measures:
        if place.file(f"{name}.json").is_file():
            continue
        measure = MEASURES.get(name, "measure")
        assert measure.observe is not None
        if measure.needs != "run" and lm is None:
            lm = load_merged(place)
        write_json(place.file(f"{name}.json"), measure.observe(place, lm) if lm else measure.observe(place))
    return {name: place.observation(name) for name in measures}


def columns_of(place: ModelPlace) -> Columns:
    """Core columns of a model that did not fail."""
    if place.arm is None:
        seconds = place.runner.training(place.cell, place.name)["seconds"]
        more: Columns = {"trainable_share": 0.0 if place.name == "original" else 1.0, "seconds": seconds}
    else:
        outcome = read_json(place.file("json"))
        more = {name: outcome[name] for name in ("trainable_share", "seconds")}
    if not place.runner.scored:
        return more
    retrained = scores_of(place.reference(REFERENCES[1]))
    return core_columns(scores_of(place), original_scores(place), retrained, place.sets) | more
