"""Numbers as readers see them."""

import pytest

from expunge.report.formatting import basis, count, foreign, interval, number, plural


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
def test_numbers_have_fixed_decimals_a_true_minus_and_a_dash_for_nothing(value, expected):
    assert number(value) == expected


def test_a_signed_number_bears_its_sign_except_for_zero():
    assert [number(v, 2, signed=True) for v in (1.0, -1.0, 0.0)] == ["+1.00", "−1.00", "0.00"]


def test_an_interval_without_bounds_is_empty_and_half_an_interval_is_shown():
    assert interval((0.125, 0.5)) == "0.125 to 0.500"
    assert interval((None, 0.5)) == "– to 0.500"
    assert interval((None, None)) == interval(None) == ""


def test_counts_are_grouped_and_agree_with_their_noun():
    assert count(1416) == "1\u202f416"
    assert [plural(n, "record") for n in (0, 1, 21)] == ["0 records", "1 record", "21 records"]


def test_foreign_text_shows_its_control_characters_and_keeps_lines():
    assert foreign("a\x1b[31m\nb\x7f\u2066c") == "a␛[31m\nb␡\ufffdc"


def test_the_basis_of_an_interval_reads_as_a_sentence():
    assert basis("none: fewer than 10 subjects") == "No interval: fewer than 10 subjects"
    assert basis("rank among controls") == "Basis: rank among controls"
