"""The Gaussian mechanism on gradients, on numbers that can be checked by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from expunge.gradients.private import clipped_sum, noised_mean, paper_formula, unit_norms

# three units over two tensors: (3, 4 | 0), (0.3, 0 | 0.4), (0, 0 | 0); norms 5, .5, 0
UNITS = {"a": torch.tensor([[3.0, 4.0], [0.3, 0.0], [0.0, 0.0]]), "b": torch.tensor([[[0.0]], [[0.4]], [[0.0]]])}


def zeros(shape: torch.Size) -> torch.Tensor:
    return torch.zeros(shape)


def test_a_units_norm_is_taken_over_all_its_tensors() -> None:
    assert unit_norms(UNITS).tolist() == pytest.approx([5.0, 0.5, 0.0])


def test_only_units_above_the_limit_are_scaled() -> None:
    total = clipped_sum(UNITS, 1.0)
    assert total["a"].tolist() == pytest.approx([0.6 + 0.3, 0.8])
    assert total["b"].item() == pytest.approx(0.4)


@pytest.mark.parametrize("limit", [0.0, -1.0, math.nan])
def test_a_limit_that_is_none_is_refused(limit: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        clipped_sum(UNITS, limit)


@given(
    values=st.lists(st.lists(st.floats(-1e4, 1e4, width=32), min_size=3, max_size=3), min_size=1, max_size=5),
    gone=st.integers(0, 4),
    limit=st.floats(0.01, 100),
)
def test_removing_a_unit_changes_the_clipped_sum_by_at_most_the_limit(
    values: list[list[float]], gone: int, limit: float
) -> None:
    rows = torch.tensor(values)
    gone %= len(rows)
    units = {"a": rows[:, :2], "b": rows[:, 2:]}
    without = {name: torch.cat([g[:gone], g[gone + 1 :]]) for name, g in units.items()}
    one, other = clipped_sum(units, limit), clipped_sum(without, limit)
    moved = math.sqrt(sum(float((one[name] - other[name]).square().sum()) for name in units))
    assert moved <= limit * (1 + 1e-4)


def test_the_sum_gets_the_noise_and_is_divided_by_the_expected_number() -> None:
    queries = []

    def ones(shape: torch.Size) -> torch.Tensor:
        queries.append(tuple(shape))
        return torch.ones(shape)

    result = noised_mean({"a": torch.tensor([1.0, 2.0]), "b": torch.zeros(1, 1)}, 3.0, 8.0, ones)
    assert result["a"].tolist() == [0.5, 0.625]
    assert result["b"].item() == 0.375
    assert queries == [(2,), (1, 1)]


def test_an_empty_draw_is_noise_alone() -> None:
    nobody = {"a": torch.zeros(2)}
    assert noised_mean(nobody, 1.0, 0.5, lambda shape: torch.ones(shape))["a"].tolist() == [2.0, 2.0]
    with pytest.raises(ValueError, match="expected"):
        noised_mean(nobody, 1.0, 0.0, zeros)


def test_the_papers_formula_is_what_methods_md_tabulates() -> None:
    assert paper_formula(1.0, 4.0, 1e-5) == pytest.approx(1.2112, abs=5e-5)
    for rate, noise in ((0.0217, 0.0263), (0.0144, 0.0174), (0.0080, 0.0097), (0.0032, 0.0039)):
        assert paper_formula(rate, 4.0, 1e-5) == pytest.approx(noise, abs=5e-5)
