"""The smallest laboratory: a world of a few concepts, a model of one block, two methods."""

from __future__ import annotations

from typing import Any

from expunge.bench.concepts.cell import Cell, Domain
from expunge.bench.concepts.lab import Bench
from expunge.bench.concepts.suite import Preset
from expunge.bench.tune import Setting
from expunge.engine.train.train_loop import TrainConfig
from expunge.models.tiny import TinyConfig

DOMAIN = Domain(world="finance", preset="tiny", settings={"per_level": 3, "targets": 3, "facts": 2})
BENCH = Bench(
    model=TinyConfig(layers=1, width=64, heads=2, vocabulary=512, context=96),
    memorise=TrainConfig(target_accuracy=0.97, epochs=60, batch=32),
    batch=8,
)
TINY = Preset(
    domains=(DOMAIN,),
    bench=BENCH,
    rows=("npo", "simnpo"),
    seeds=(1,),
    settings=(Setting(lr_factor=1, steps=2), Setting(lr_factor=2, steps=6)),
)
CELL = Cell(domain=DOMAIN, seed=1)


def silent(line: str) -> None:
    """Progress that nobody reads."""


def asked(**changed: Any) -> dict[str, Any]:
    """Arguments of a suite's `main` but for the folder."""
    return {"preset": "tiny", "seeds": (), "workers": 1, "say": silent} | changed
