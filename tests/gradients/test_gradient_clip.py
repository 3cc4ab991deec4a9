"""Clipping the total norm."""

import pytest
import torch

from expunge.gradients import clip_total_norm


def test_a_long_gradient_is_scaled_to_the_limit_as_a_whole() -> None:
    got, norm = clip_total_norm({"a": torch.tensor([3.0, 0.0]), "b": torch.tensor(4.0)}, 1.0)
    assert float(norm) == 5.0
    assert got["a"].tolist() == pytest.approx([0.6, 0])
    assert float(got["b"]) == pytest.approx(0.8)


def test_a_short_gradient_comes_back_bit_for_bit() -> None:
    grads = {"a": torch.tensor([0.1, 0.2]), "b": torch.zeros(3)}
    got, norm = clip_total_norm(grads, 1.0)
    assert all(torch.equal(got[k], grads[k]) for k in grads)
    assert float(norm) == pytest.approx(0.05**0.5)


def test_zero_and_empty_gradients_have_norm_zero() -> None:
    got, norm = clip_total_norm({"a": torch.zeros(2)}, 1.0)
    assert got["a"].tolist() == [0, 0]
    assert float(norm) == 0
    assert clip_total_norm({}, 1.0) == ({}, torch.zeros(()))


def test_half_precision_is_measured_wide_and_kept_half() -> None:
    got, norm = clip_total_norm({"a": torch.full((10_000,), 1.0).bfloat16()}, 1.0)
    assert float(norm) == pytest.approx(100)
    assert got["a"].dtype == torch.bfloat16
    assert float(got["a"][0]) == pytest.approx(0.01, rel=4e-3)


def test_a_broken_gradient_shows_in_the_norm() -> None:
    assert not clip_total_norm({"a": torch.tensor([1.0, float("nan")])}, 1.0)[1].isfinite()
    assert not clip_total_norm({"a": torch.tensor([1.0, float("inf")])}, 1.0)[1].isfinite()


def test_a_limit_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        clip_total_norm({"a": torch.ones(1)}, 0.0)
