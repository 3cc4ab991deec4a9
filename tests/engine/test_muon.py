"""Muon against its polynomial, against torch's own in bfloat16, and over several steps."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from expunge.engine import muon
from expunge.engine.muon import Muon, orthogonalize


def polynomial(value: float) -> float:
    """What five iterations make of one singular value."""
    for _ in range(5):
        value = 3.4445 * value - 4.7750 * value**3 + 2.0315 * value**5
    return value


@pytest.mark.parametrize(("rows", "columns"), [(3, 3), (2, 5), (5, 2)])
def test_singular_values_follow_the_polynomial(rows: int, columns: int) -> None:
    matrix = torch.zeros(1, rows, columns)
    matrix[0, 0, 0], matrix[0, 1, 1] = 3.0, -4.0  # norm 5: singular values .6 and .8
    made = orthogonalize(matrix)[0]
    expected = torch.zeros(rows, columns)
    expected[0, 0], expected[1, 1] = polynomial(0.6), -polynomial(0.8)
    assert torch.allclose(made, expected, atol=1e-5)


def test_a_matrix_of_zeros_stays_zero() -> None:
    assert not orthogonalize(torch.zeros(2, 3, 4)).any()


def test_each_matrix_by_itself() -> None:
    draw = torch.Generator().manual_seed(1)
    matrices = torch.randn(3, 4, 6, generator=draw) * torch.tensor([1.0, 100.0, 0.01])[:, None, None]
    alone = torch.cat([orthogonalize(matrix[None]) for matrix in matrices])
    assert torch.allclose(orthogonalize(matrices), alone, atol=1e-5)


def steps_of(optimizer: type[torch.optim.Optimizer], **options: object) -> list[torch.Tensor]:
    """Three matrices after four steps towards a target."""
    draw = torch.Generator().manual_seed(3)
    shapes = [(8, 24), (24, 8), (8, 24)]
    weights = [nn.Parameter(torch.randn(shape, generator=draw)) for shape in shapes]
    targets = [torch.randn(shape, generator=draw) for shape in shapes]
    steps = optimizer(weights, lr=0.05, weight_decay=0.1, **options)  # type: ignore[arg-type, call-arg]
    for _ in range(4):
        for weight, target in zip(weights, targets, strict=True):
            weight.grad = weight.detach() - target
        steps.step()
    return [weight.detach() for weight in weights]


def test_as_torch_up_to_its_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    own, torchs = steps_of(Muon), steps_of(torch.optim.Muon, adjust_lr_fn="match_rms_adamw")
    for one, other in zip(own, torchs, strict=True):
        assert torch.allclose(one, other, atol=4 * 0.05 * 0.2 * 24**0.5 * 2**-7)  # four updates, each to 8 bits
    monkeypatch.setattr(muon, "TOGETHER", 1)
    for one, other in zip(own, steps_of(Muon), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_a_matrix_without_a_gradient_stays() -> None:
    still, moving = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2, 2))
    moving.grad = torch.eye(2)
    Muon([still, moving], lr=0.1).step()
    assert torch.equal(still.detach(), torch.ones(2, 2))
    assert not torch.equal(moving.detach(), torch.ones(2, 2))
