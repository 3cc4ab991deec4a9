"""One error line for a wrong configuration, whatever model it is for; YAML and overrides by hand."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from expunge._config import FrozenModel, apply_overrides, find_yaml, merge
from expunge._registry import Registry
from expunge._validation import validate
from expunge._yaml import load_yaml
from expunge.engine.optimizer import OptimizerConfig
from expunge.engine.recipe import Recipe, shipped
from expunge.errors import InputError, InputWarning


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
        ({"name": 3}, "here: name: must be text, found 3; give one"),
        ({"name": "x", 4: 1}, "here: 4: keys must be text, found 4; give one"),
    ],
)
def test_first_mistake_becomes_one_line(raw: dict[str, object], line: str) -> None:
    with pytest.raises(InputError) as caught:
        validate(Outer, raw, "here", "give one")
    assert str(caught.value).startswith(line)


def test_without_a_hint_the_description_of_the_field_is_the_hint() -> None:
    with pytest.raises(InputError) as caught:
        validate(Inner, {"size": 0}, "here")
    assert str(caught.value) == "here: size: must be at least 1, found 0; rows"


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


class Wide(FrozenModel):
    layers: str | int | tuple[int, ...] = "all"
    rate: float = Field(0.1, gt=0, lt=1)
    on: bool = True
    order: Literal["up", "down"] = "up"
    named: dict[str, Inner] = Field(default_factory=dict)
    maybe: Inner | None = None


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        ({"rate": "abc"}, 'w: rate: must be a number, found "abc"'),
        ({"rate": 0}, "w: rate: must be greater than 0, found 0"),
        ({"rate": 1.5}, "w: rate: must be less than 1, found 1.5"),
        ({"on": "perhaps"}, 'w: on: must be true or false, found "perhaps"'),
        ({"order": "side"}, "w: order: must be 'up' or 'down', found \"side\""),
        ({"layers": 1.5}, "w: layers: must be text or a whole number or a list, found 1.5"),
        ({"layers": ["a"]}, "w: layers: must be text"),
        ({"named": {"x y": {"size": 0}}}, "w: named.x y.size: must be at least 1, found 0; rows"),
        ({"named": 3}, "w: named: must be a mapping of keys to values, found 3"),
        ({"maybe": {"size": None}}, "w: maybe.size: must be a whole number, found null; rows"),
        ({"maybe": {"rate": 1}}, 'w: unknown key "maybe.rate"; did you mean "rate"?'),
    ],
)
def test_a_wrong_value_says_what_it_must_be_and_what_was_found(raw: dict[str, object], line: str) -> None:
    with pytest.raises(InputError) as caught:
        validate(Wide, raw, "w")
    assert str(caught.value).startswith(line)


class Nested(FrozenModel):
    optimizer: OptimizerConfig = OptimizerConfig()
    steps: int = 10


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ("optimizer.learning_rate=3", 'unknown key "optimizer.learning_rate"; did you mean "lr"?'),
        ("learning_rate=3", 'unknown key "learning_rate"; did you mean "optimizer.lr"?'),
        ("lr=3", 'unknown key "lr"; did you mean "optimizer.lr"?'),
        ("max_steps=3", 'unknown key "max_steps"; did you mean "steps"?'),
        ("optimizer.lr=abc", 'must be a number, found "abc"; learning rate'),
        ("steps.more=1", "must be a whole number"),
        ("optimizer=adamw", 'must be a mapping of keys to values, found "adamw"'),
    ],
)
def test_a_mistake_of_the_command_line_is_blamed_on_it(entry: str, line: str) -> None:
    overrides = ["steps=5", entry]
    with pytest.raises(InputError) as caught:
        validate(Nested, apply_overrides({"steps": 20}, overrides), "recipe r", overrides=overrides)
    assert str(caught.value).startswith(f"--set {entry}: {line}")


def test_a_mistake_of_the_file_is_blamed_on_the_file() -> None:
    raw = apply_overrides({"optimizer": {"lr": "fast"}}, ["steps=5"])
    with pytest.raises(InputError, match=r'^recipe r: optimizer\.lr: must be a number, found "fast"'):
        validate(Nested, raw, "recipe r", overrides=["steps=5"])


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ("settings.betta=1", 'unknown key "betta"; did you mean "beta"?'),
        ("settings.beta=abc", 'must be a number, found "abc"'),
    ],
)
def test_a_setting_of_the_method_is_blamed_on_the_command_line(entry: str, line: str) -> None:
    with pytest.raises(InputError) as caught:
        Recipe.load("npo", [entry])
    assert str(caught.value).startswith(f"--set {entry}: {line}")


class Entry:
    """An entry point whose module is `value`, or that raises when it is loaded."""

    def __init__(self, name: str, value: str, group: str) -> None:
        self.name, self.value, self.group, self.dist = name, value, group, None

    def load(self) -> object:
        raise ModuleNotFoundError("No module named 'missing'")


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An importable package with a folder for YAML files, named as a plugin for recipes beside a broken one."""
    package = tmp_path / "clinic_recipes"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "clinic_recipes", raising=False)
    points = [Entry("clinic", "clinic_recipes", "expunge.recipes"), Entry("broken", "no_such", "expunge.recipes")]
    monkeypatch.setattr("expunge._config.entry_points", lambda group: points if group == "expunge.recipes" else [])
    return package


def test_a_plugin_ships_recipes_and_a_broken_one_is_named(plugin: Path) -> None:
    (plugin / "clinic.yaml").write_text("# For our letters.\nextends: npo\nsteps: 7\n")
    with pytest.warns(InputWarning, match=r'plugin "broken" \(expunge.recipes\) is left out: ModuleNotFoundError'):
        assert {"clinic", "twin"} <= set(shipped())
    with pytest.warns(InputWarning):
        recipe = Recipe.load("clinic")
    assert (recipe.method, recipe.steps) == ("npo", 7)


def test_a_plugin_does_not_replace_a_shipped_recipe(plugin: Path) -> None:
    (plugin / "npo.yaml").write_text("extends: base\nmethod: ga\n")
    with pytest.warns(InputWarning) as caught:
        assert Recipe.load("npo").method == "npo"
    assert any('there is another recipe "npo"' in str(w.message) for w in caught)


def test_a_broken_plugin_of_a_registry_is_named_and_the_rest_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("expunge._registry.entry_points", lambda group: [Entry("mine", "no_such", group)])
    rules: Registry[object] = Registry("gradient rule", "expunge.gradients")
    with pytest.warns(InputWarning) as caught:
        assert rules.names() == []  # the shipped ones are in the registry of the package
    assert str(caught[0].message) == (
        'plugin "mine" (expunge.gradients) is left out: ModuleNotFoundError: '
        "No module named 'missing'; repair or uninstall it"
    )
