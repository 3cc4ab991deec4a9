"""The timing of a pretrained model's step, on a tiny one: both baselines compute our losses."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.speed.step_pretrained import measure, parts
from expunge.engine.train.train_loop import TrainConfig
from expunge.engine.train.train_model import train
from expunge.models.tiny import TinyConfig
from expunge.synthetic.clinic.clinic import Clinic


@pytest.mark.trains
def test_both_baselines_compute_the_losses_of_our_step(tmp_path: Path) -> None:
    records = Clinic.preset("demo").corpus().trained
    size = TinyConfig(layers=3, width=32, heads=2, vocabulary=400)
    train(records, tmp_path / "model", tiny=size, settings=TrainConfig(epochs=1))
    results = measure(str(tmp_path / "model"), layers="1,all", pairs=1, say=lambda line: None)
    assert set(results) == {"1", "all"}
    for case in results.values():
        assert set(case["ratio"]) == {"plain", "trl"}
        assert all(ratio["median"] > 0 for ratio in case["ratio"].values())
    assert len(parts(results)[0].rows) == 2
