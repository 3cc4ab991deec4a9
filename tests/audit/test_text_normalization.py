"""Normalization and the Unicode tokenizer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.audit.metrics.includes import folded, squeezed
from expunge.audit.text_normalization import is_cjk, normalize, tokens


def test_normalize_makes_case_width_and_white_space_equal():
    assert normalize(" A1\n") == normalize("ａ１") == "a1"
    assert normalize("STRASSE") == normalize("Straße")
    assert normalize("a1.") != "a1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The patient's BP: 120/80.", ["the", "patient", "s", "bp", "120", "80"]),
        ("患者有哮喘", ["患", "者", "有", "哮", "喘"]),
        ("カルテA1番", ["カ", "ル", "テ", "a1", "番"]),
        ("café müller", ["café", "müller"]),
        ("हिन्दी", ["हिन्दी"]),
        ("한국", ["한", "국"]),
        ("…—!", []),
    ],
)
def test_tokens_keep_every_script(text, expected):
    assert tokens(text) == expected


def test_a_mark_that_follows_no_letter_starts_no_token():
    assert tokens("!\u0301 a") == ["a"]


def test_cjk_is_told_from_other_scripts():
    assert is_cjk("病")
    assert is_cjk("𠀀")
    assert not is_cjk("a")
    assert not is_cjk("—")


@given(st.text(), st.text())
def test_tokens_of_two_texts_in_a_row_are_their_tokens_together(a, b):
    assert tokens(f"{a} , {b}") == tokens(a) + tokens(b)


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_text_is_read_as_text_in_any_letters(text):
    """A letter that stays outside of ASCII, behind the text, has the whole read character by character."""
    assert tokens(text + " ж") == [*tokens(text), "ж"]
    assert normalize(text + "ж") == normalize(text + ".")[:-1] + "ж"
    assert squeezed(text + "ж") == squeezed(text) + "ж"
    assert folded(text + "ж") == folded(text + ".")[:-1] + "ж"
