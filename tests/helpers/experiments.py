"""The smallest experiment: a world of a few concepts, a model of one block, two methods."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from expunge.bench.experiment import Experiment, load_plugins
from expunge.bench.requests import Request
from expunge.bench.world_instance import WorldInstance

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
REQUEST = Request(world="finance", preset="tiny", settings={"per_level": 3, "targets": 3, "facts": 2})
CELL = WorldInstance(request=REQUEST, seed=1)
MODEL = {"architecture": "llama", "layers": 1, "width": 64, "heads": 2, "vocabulary": 512, "context": 192}
TINY = """question: Does it run?
model: {layers: 1, width: 64, heads: 2, vocabulary: 512, context: 96}
train: {target_accuracy: 0.97, epochs: 60, batch: 32}
batch: 8
requests:
  - {world: finance, preset: tiny, settings: {per_level: 3, targets: 3, facts: 2}}
seeds: [1]
arms:
  npo: npo
  simnpo: {recipe: simnpo, set: [[train.rank=4]]}
tune: {grid: {lr: [1, 2], steps: [2]}, min_retention: 0.9}
measures: [core]
claims: [{name: c, arm: simnpo, minus: npo, column: leak, sign: "+", text: simnpo leaks more}]
goals:
  arm: npo
  list:
    - {column: retention, text: kept, at_least: 2}
    - {column: ks, text: KS, at_most: 9, times_second: true}
report:
  tables:
    - {title: All, columns: {leak: leak, retention: kept}}
    - {title: By request, of: "by_domain/*", columns: requests, cell: [leak, ks]}
  plots:
    - kind: forest
      file: forest
      text: a forest
      settings: {title: t, columns: [leak, retention], heads: [a, b], sort: true}
presets:
  smaller: {arms: [npo], model: {width: 32}, tune: {grid: {lr: [1]}}}
"""


def plugin(name: str) -> Any:
    """A plugin of the checkout, as an experiment imports it."""
    before = {
        "token_weights": ("polysemy",),
        "semeval": ("lume_documents",),
        "requests_over_time": ("ward", "request_runs", "request_curves"),
        "suppression": ("lume_documents", "semeval"),
        "planted_audits": ("audited_hospital", "planting", "planted_models"),
        "meta_evaluation": ("false_alarms", "meta_checkpoints"),
    }.get(name, ())
    load_plugins([BENCHMARKS / "plugins" / f"{part}.py" for part in (*before, name)])
    return sys.modules[name]


def load_tiny(
    name: str, folder: Path, *, requests: list[Any], arms: list[str], grid: dict[str, Any], **changed: Any
) -> Any:
    """A shipped experiment in a size for tests."""
    raw = yaml.safe_load((BENCHMARKS / "experiments" / f"{name}.yaml").read_text("utf-8"))
    raw["report"] = str((BENCHMARKS / "experiments" / raw["report"]).resolve())
    raw["plugins"] = [str((BENCHMARKS / "experiments" / p).resolve()) for p in raw.get("plugins", ())]
    judged = {key: value for key, value in raw["tune"].items() if key in ("measure", "rule", "across_seeds", "alone")}
    raw["tune"] = {"grid": grid, "choose": changed.pop("choose", True), **judged}
    train = {"target_accuracy": 0.97, "epochs": 60, "batch": 32}
    tiny = {"requests": requests, "arms": arms, "seeds": [1], "model": MODEL, "train": train, "batch": 8, "sides": []}
    raw["presets"] = {"tiny": tiny | changed}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(raw, sort_keys=False), "utf-8")
    return Experiment.load(path, "tiny")


def write_tiny(folder: Path, text: str = TINY) -> Path:
    """The tiny experiment as a file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tiny.yaml"
    path.write_text(text, "utf-8")
    return path
