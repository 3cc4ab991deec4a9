"""Sizes of a LUME run. They were found by measurement: large enough that the original model reproduces at least
nine in ten forget rows, small enough for two cores without a GPU."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from expunge.bench.lume_sets import Counts
from expunge.bench.tune import Setting
from expunge.engine.train.train_loop import TrainConfig
from expunge.models.tiny import TinyConfig

METHODS = ("grad_diff", "npo", "simnpo", "sequential", "dual-npo", "twin-kl", "twin")


class Preset(BaseModel):
    """Everything that a run of the suite takes from its name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    counts: Counts
    model: TinyConfig
    memorise: TrainConfig = Field(description="its seed is replaced by the run's; share 1 means all epochs")
    settings: tuple[Setting, ...] = Field(min_length=1, description="tried for every method; one means no tuning")
    batch: int = Field(ge=1, description="forget rows and retain rows per step")
    seeds: tuple[int, ...] = Field(min_length=1, description="used when the command names none")
    methods: tuple[str, ...] = METHODS


MODEL = TinyConfig(architecture="gpt2", layers=2, width=192, vocabulary=2048, context=1024)
TEACH = TrainConfig(target_accuracy=1.0, epochs=20, batch=16, precision="bfloat16")
PRESETS = {
    "smoke": Preset(
        counts=Counts(forget=3, given=3, retain_heldout=2, holdout=8),
        model=MODEL,
        memorise=TEACH.model_copy(update={"epochs": 24}),
        settings=(Setting(lr_factor=1.0, steps=40),),
        batch=8,
        seeds=(42,),
    ),
    "cpu": Preset(
        counts=Counts(forget=4, given=12, retain_heldout=3, holdout=8, validate_forget=3, validate_keep=2, unseen=4),
        model=MODEL,
        memorise=TEACH.model_copy(update={"epochs": 24}),
        batch=8,
        seeds=(42, 123, 789),
        settings=tuple(Setting(lr_factor=0.3, steps=s, retain_factor=r) for r in (1, 8) for s in (100, 300)),
    ),
    "large": Preset(
        counts=Counts(forget=8, given=12, retain_heldout=6, holdout=24, validate_forget=5, validate_keep=4, unseen=10),
        model=MODEL,
        memorise=TEACH,
        batch=8,
        seeds=(42, 123, 789),
        settings=tuple(Setting(lr_factor=f, steps=s) for f in (0.5, 2.0) for s in (50, 150)),
    ),
}
