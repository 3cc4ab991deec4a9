"""Precisions that a processor has, and what is said of those that it has not."""

from __future__ import annotations

import warnings

import pytest
import torch

from expunge.errors import InputWarning
from expunge.models import precision
from expunge.models.precision import warn_if_emulated


def test_a_processor_without_bfloat16_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_bfloat16", lambda: False)
    with pytest.warns(InputWarning, match="many times as long as in float32; use --dtype float32"):
        warn_if_emulated(torch.bfloat16, "cpu", "use --dtype float32")


@pytest.mark.parametrize(
    ("dtype", "device", "native"),
    [(torch.float32, "cpu", False), (torch.bfloat16, "cpu", True), (torch.bfloat16, "cuda", False)],
)
def test_others_are_not(dtype: torch.dtype, device: str, native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_bfloat16", lambda: native)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_emulated(dtype, device, "")


def test_this_processor_says_what_it_has() -> None:
    assert isinstance(precision.has_bfloat16(), bool)
