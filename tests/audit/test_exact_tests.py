"""Exact tests and Holm's correction, by numbers that can be checked by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.audit.exact_tests import fisher_test, holm, sign_test


def test_holm_has_the_value_of_the_design() -> None:
    assert holm((0.01, 0.04, 0.03, 0.005)) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm((0.6, 0.7)) == (1.0, 1.0)
    assert holm(()) == ()


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_never_lowers_a_p_value_and_keeps_the_order(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(p <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))
    pairs = sorted(zip(p_values, adjusted, strict=True))
    assert [q for _, q in pairs] == sorted(q for _, q in pairs)


def test_the_sign_test_is_that_of_a_fair_coin() -> None:
    assert sign_test(3, 0) == pytest.approx(1 / 8)
    assert sign_test(2, 1) == pytest.approx(4 / 8)
    assert sign_test(0, 0) == 1.0
    assert sign_test(9, 0) == pytest.approx(1 / 512)


def test_fishers_test_is_that_of_the_lady_with_the_tea() -> None:
    assert fisher_test(4, 4, 0, 4) == pytest.approx(1 / 70)
    assert fisher_test(3, 4, 1, 4) == pytest.approx(17 / 70)
    assert fisher_test(0, 4, 2, 4) == 1.0
