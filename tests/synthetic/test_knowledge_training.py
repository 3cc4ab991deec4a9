"""A tiny model learns a tiny world of knowledge, which unlearning presupposes."""

from __future__ import annotations

import pytest

from expunge.engine.train.train_loop import TrainConfig
from expunge.engine.train.train_model import train
from expunge.models.tiny import TinyConfig
from expunge.synthetic.knowledge.domains.finance import Finance


@pytest.mark.trains
def test_a_tiny_llama_memorizes_the_tiny_preset(tmp_path):
    trained = Finance.preset("tiny").corpus().trained
    progress = train(
        trained,
        tmp_path / "model",
        tiny=TinyConfig(layers=1, width=64, heads=4, vocabulary=600),
        settings=TrainConfig(target_accuracy=0.95, epochs=60, batch=24),
    )
    assert progress.accuracy >= 0.95
