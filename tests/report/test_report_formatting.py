"""Formatting of numbers, counts, intervals and untrusted text."""

import pytest

from expunge.report.formatting import describe_basis, format_count, format_interval, format_number, pluralize


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.5, "0.500"),
        (-0.25, "−0.250"),
        (-0.0, "0.000"),
        (-0.0004, "0.000"),
        (2244.12, "2\u202f244"),
        (None, "–"),
        (float("nan"), "–"),
        (float("inf"), "–"),
        (100.0, "100.000"),
    ],
)
def test_numbers_have_fixed_decimals_a_minus_sign_or_a_dash(value, expected):
    assert format_number(value) == expected


def test_a_signed_number_shows_its_sign_except_for_zero():
    assert [format_number(v, 2, signed=True) for v in (1.0, -1.0, 0.0)] == ["+1.00", "−1.00", "0.00"]


def test_an_interval_without_bounds_is_empty_half_an_interval_is_not():
    assert format_interval((0.125, 0.5)) == "0.125 to 0.500"
    assert format_interval((None, 0.5)) == "– to 0.500"
    assert format_interval((None, None)) == format_interval(None) == ""


def test_counts_are_grouped_and_agree_with_their_noun():
    assert format_count(1416) == "1\u202f416"
    assert [pluralize(n, "record") for n in (0, 1, 21)] == ["0 records", "1 record", "21 records"]


def test_the_basis_of_an_interval_is_a_sentence():
    assert describe_basis("none: fewer than 10 subjects") == "No interval: fewer than 10 subjects"
    assert describe_basis("rank among controls") == "Basis: rank among controls"
