"""Worlds, models and settings that the suites share under one preset name. Sizes were set by measured times."""

from __future__ import annotations

from expunge.bench.concepts.cell import Domain
from expunge.bench.concepts.lab import Bench
from expunge.bench.concepts.tuning import grid
from expunge.engine.train.train_loop import TrainConfig
from expunge.models.tiny import TinyConfig


def domains(targets: int, per_level: int, facts: int = 4) -> tuple[Domain, ...]:
    """The three worlds with so many concepts of the target, and of each other level; the hospital has patients, too."""
    settings = {"targets": targets, "per_level": per_level, "facts": facts}
    house = {"procedures": targets, "knowledge_per_level": per_level, "knowledge_facts": facts}
    return (
        Domain(world="hospital", preset="surgery-small", settings=house, label="hospital"),
        *(Domain(world=name, settings=settings, label=name) for name in ("mental-health", "finance")),
    )


DOMAINS = domains(12, 12)
LITTLE = domains(6, 6, 3)
LARGE = (
    Domain(world="hospital", preset="surgery", label="hospital"),
    *(Domain(world=name, preset="default", label=name) for name in ("mental-health", "finance")),
)
SMALL = Bench(
    model=TinyConfig(layers=2, width=64, heads=4, vocabulary=1024),
    memorise=TrainConfig(target_accuracy=0.99, epochs=60),
    batch=32,
)
LLAMA = Bench(
    model=TinyConfig(layers=4, width=128, heads=4, vocabulary=2048),
    memorise=TrainConfig(target_accuracy=0.99, epochs=60),
    batch=32,
)
GPT2 = Bench(
    model=TinyConfig(architecture="gpt2", layers=12, width=768, heads=12, vocabulary=4096, embedding_std=0.1),
    memorise=TrainConfig(target_accuracy=0.99, epochs=60, batch=128, precision="bfloat16"),
    batch=32,
)
SETTINGS = grid((1.0, 3.0), (60,), (2.0, 8.0))
