"""Rounding of weights."""

from pathlib import Path

import pytest
import torch

from expunge.models.language_model import load
from expunge.models.quantize import quantize, round_to_grid


def test_four_bits_are_fifteen_levels_of_the_largest_magnitude() -> None:
    result = round_to_grid(torch.tensor([[1.0, -0.5, 0.26, 0.02]]), 4)  # -.5 is 3.5 steps of 1/7: to even
    assert result[0].tolist() == pytest.approx([1, -4 / 7, 2 / 7, 0], abs=1e-6)


def test_eight_bits_are_finer() -> None:
    result = round_to_grid(torch.tensor([[1.0, -0.5, 0.26, 0.02]]), 8)
    assert result[0].tolist() == pytest.approx([1, -64 / 127, 33 / 127, 3 / 127], abs=1e-6)


def test_every_group_has_its_own_scale_and_zeros_stay() -> None:
    result = round_to_grid(torch.tensor([[8.0, 1.0, 0.1, 0.05], [0, 0, 0, 0]]), 4, group=2)
    assert result[0].tolist() == pytest.approx([8, 8 / 7, 0.1, 0.4 / 7], abs=1e-6)
    assert result[1].tolist() == [0, 0, 0, 0]


def test_only_matrices_in_blocks_change(folders: dict[str, Path]) -> None:
    for name in ("llama", "gpt2"):
        module = load(folders[name]).module
        before = {n: p.clone() for n, p in module.state_dict().items()}
        quantize(module, 4)
        changed = {n for n, p in module.state_dict().items() if not torch.equal(p, before[n])}
        assert changed
        assert not any("emb" in n or "norm" in n or "ln_" in n or "head" in n or "bias" in n for n in changed)
