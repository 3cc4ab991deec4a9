"""The bench of Muon's step compares the same shapes and prints a ratio."""

from __future__ import annotations

import pytest

from benchmarks.speed import muon_step
from benchmarks.speed.synthetic_inputs import random_model
from expunge.models.tiny import TinyConfig, train_tokenizer


def test_the_matrices_are_those_of_a_model() -> None:
    size = TinyConfig(layers=2, width=32, vocabulary=300)
    model = random_model(size, train_tokenizer(["a b c"], 300)).module
    blocks = [p for n, p in model.named_parameters() if "layers." in n and p.ndim == 2]
    assert sorted(p.shape for p in muon_step.matrices(size)) == sorted(p.shape for p in blocks)


def test_it_prints_a_ratio(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(muon_step, "TinyConfig", lambda: TinyConfig(layers=1, width=16))
    assert muon_step.main(["--pairs", "1"]) == 0
    assert "torch / ours" in capsys.readouterr().out
