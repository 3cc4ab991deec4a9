"""Canonical bytes by the examples of RFC 8785, and what the strict reader refuses."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.errors import InputError
from expunge.evidence.canonical_json import MAX_BYTES, canonical_bytes, parse_strictly

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def test_the_example_of_the_rfc() -> None:
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": '\u20ac$\u000f\nA\'B"\\\\"/',
        "literals": [None, True, False],
    }
    assert (
        canonical_bytes(value)
        == (
            '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
            '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
        ).encode()
    )


def test_keys_are_sorted_by_utf16() -> None:
    keys = ["€", "\r", "\ufb33", "1", "😀", "\u0080", "ö"]
    ordered = list(json.loads(canonical_bytes(dict.fromkeys(keys, 0))))
    assert ordered == ["\r", "1", "\u0080", "ö", "€", "😀", "\ufb33"]


@pytest.mark.parametrize("value", [math.nan, math.inf, 2**53 + 1, {"a": [-math.inf]}])
def test_what_has_no_canonical_form(value: object) -> None:
    with pytest.raises(InputError, match="has no canonical form"):
        canonical_bytes(value)


@settings(max_examples=50, deadline=None)
@given(VALUES)
def test_reading_gives_the_value_back(value: object) -> None:
    assert canonical_bytes(parse_strictly(canonical_bytes(value), "v")) == canonical_bytes(value)


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b'{"a": 1, "a": 2}', 'the key "a" stands twice'),
        (b'{"x": {"b": 1, "b": 1}}', 'the key "b" stands twice'),
        (b'{"a": NaN}', "NaN is no number"),
        (b'"\\ud800"', "surrogates not allowed"),
        (b"\xff", "no JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"", "no JSON"),
        (b" " * (MAX_BYTES + 1), "more than 32 MiB"),
    ],
)
def test_what_the_reader_refuses(raw: bytes, what: str) -> None:
    with pytest.raises(InputError, match=what):
        parse_strictly(raw, "file")


def test_large_whole_numbers_are_read_as_floats() -> None:
    assert canonical_bytes(parse_strictly(b"9007199254740992", "v")) == b"9007199254740992"
    assert canonical_bytes(parse_strictly(b"1e30", "v")) == b"1e+30"
    with pytest.raises(InputError, match="no JSON"):
        parse_strictly(b"9" * 5000, "v")
