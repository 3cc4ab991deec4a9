"""One error line for a wrong configuration, whatever model it is for; YAML and overrides by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field

from expunge._config import FrozenModel, apply_overrides, find_yaml, load_yaml, merge, validate
from expunge.errors import InputError


class Inner(FrozenModel):
    size: int = Field(1, ge=1, description="rows")


class Outer(FrozenModel):
    inner: Inner = Inner()
    parts: tuple[Inner, ...] = ()
    optimizer: str = "adamw"
    name: str


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        ({}, 'here: the key "name" is missing; give one'),
        ({"nmae": "x"}, 'here: unknown key "nmae"; did you mean "name"? known: inner, name, optimizer, parts'),
        ({"optimiser": "sgd"}, 'here: unknown key "optimiser"; did you mean "optimizer"?'),
        ({"name": "x", "inner": {"sise": 2}}, 'here: unknown key "inner.sise"; did you mean "size"? known: size'),
        ({"name": "x", "parts": [{}, {"sise": 2}]}, 'here: unknown key "parts.#2.sise"; did you mean "size"?'),
        ({"name": 3}, "here: name: Input should be a valid string (given: 3); give one"),
        ({"name": "x", 4: 1}, "here: 4: Keys should be strings (given: 4); give one"),
    ],
)
def test_first_mistake_becomes_one_line(raw: dict[str, object], line: str) -> None:
    with pytest.raises(InputError) as caught:
        validate(Outer, raw, "here", "give one")
    assert str(caught.value).startswith(line)


def test_without_a_hint_the_description_of_the_field_is_the_hint() -> None:
    with pytest.raises(InputError) as caught:
        validate(Inner, {"size": 0}, "here")
    assert str(caught.value) == "here: size: Input should be greater than or equal to 1 (given: 0); rows"


def test_yaml_refuses_a_repeated_key_and_names_both_lines() -> None:
    with pytest.raises(InputError, match=r'^f:3: not valid YAML \(the key "a" stands twice, first in line 1\)'):
        load_yaml("a: 1\nb: 2\na: 3\n", "f")
    assert load_yaml("", "f") == {}


def test_merge_goes_key_by_key_and_drops_what_a_changed_key_resets() -> None:
    parent = {"a": {"x": 1, "y": 2}, "kind": "p", "more": 3}
    assert merge(parent, {"a": {"y": 4}}) == {"a": {"x": 1, "y": 4}, "kind": "p", "more": 3}
    assert merge(parent, {"kind": "q"}, {"kind": ("more", "gone")}) == {"a": {"x": 1, "y": 2}, "kind": "q"}
    assert merge(parent, {"kind": "p"}, {"kind": ("more",)}) == parent


def test_overrides_are_yaml_and_the_last_one_counts() -> None:
    made = apply_overrides({"a": {"b": 1}}, ["a.b=1e-3", "a.c=[1, 2]", "d=null", "a.b=2e-3"])
    assert made == {"a": {"b": 0.002, "c": [1, 2]}, "d": None}


def test_a_file_is_found_beside_another_one(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("a: 1\n")
    assert find_yaml("r.yaml", "thing", tmp_path, tmp_path).text == "a: 1\n"
    assert find_yaml("r", "thing", tmp_path) == ("a: 1\n", None, "thing r")
    with pytest.raises(InputError, match='there is no thing "s"; known: r'):
        find_yaml("s", "thing", tmp_path)
