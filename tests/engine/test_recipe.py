"""A recipe is read once, whole, and every mistake in it is one line that names the nearest right word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from expunge._config import apply_overrides, merge
from expunge.engine.recipe import RESETS, Recipe, shipped
from expunge.engine.recipe_config import Phase
from expunge.errors import InputError
from expunge.methods import METHODS
from expunge.models.adapters import TrainableConfig


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def writer(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return writer


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_recipe_loads_builds_and_survives_its_own_yaml(name: str, tmp_path: Path) -> None:
    recipe = Recipe.load(name)
    resolved = recipe.resolve()
    edit = resolved.edit
    if edit:
        assert edit.name == recipe.method
        assert (resolved.retain_loss, resolved.total_steps) == ("none", 1)
    else:
        assert resolved.method.name == recipe.method
        assert resolved.rule.name == (recipe.rule or resolved.method.rule)
        assert resolved.total_steps == sum(p.steps for p in resolved.phases) > 0
    assert resolved.retain_loss in ("ce", "kl", "logit", "none")
    copy = tmp_path / "copy.yaml"
    copy.write_text(recipe.resolve().to_yaml())
    assert Recipe.load(copy).resolve().recipe == resolved.recipe
    assert Recipe.load(copy).digest == resolved.recipe.digest


def test_a_recipe_that_bears_the_name_of_a_method_is_for_that_method() -> None:
    both = set(shipped()) & set(METHODS.names())
    assert {"twin", "npo", "dual", "sequential"} <= both
    assert all(Recipe.load(name).method == name for name in both)


def test_a_chain_of_files_and_names_is_followed_and_children_win(write: Any) -> None:
    write("parent.yaml", "extends: npo\nsteps: 7\noptimizer: {lr: 0.5, clip_norm: null}\n")
    child = write("child.yaml", "extends: parent.yaml\noptimizer: {lr: 0.25}\nsettings: {beta: 0.2}\n")
    recipe = Recipe.load(child)
    assert (recipe.method, recipe.steps, recipe.settings) == ("npo", 7, {"beta": 0.2})
    assert (recipe.optimizer.lr, recipe.optimizer.clip_norm, recipe.optimizer.name) == (0.25, None, "adamw")
    assert recipe.train.rank == 8  # from base, three steps up


def test_a_child_with_another_method_drops_its_parents_settings_and_rule() -> None:
    parent = {"method": "npo", "settings": {"beta": 1}, "rule": "pcgrad", "rule_settings": {}, "steps": 3}
    assert merge(parent, {"method": "ga"}, RESETS) == {"method": "ga", "steps": 3}
    assert merge(parent, {"method": "npo", "settings": {"scale": "per_token"}}, RESETS)["settings"] == {
        "beta": 1,
        "scale": "per_token",
    }


def test_a_circle_of_extends_is_shown(write: Any) -> None:
    write("a.yaml", "extends: b.yaml\n")
    b = write("b.yaml", "extends: a.yaml\n")
    with pytest.raises(InputError, match=r"extends itself \(.*b\.yaml -> .*a\.yaml -> .*b\.yaml\); break the circle"):
        Recipe.load(b)
    me = write("me.yaml", "extends: ./me.yaml\n")
    with pytest.raises(InputError, match="extends itself"):
        Recipe.load(me)


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("optimizer.lr=1e-3", 0.001),
        ("optimizer.lr=0.5", 0.5),
        ("steps=12", 12),
        ("train.layers=1/3", "1/3"),
        ("train.layers=[0, 2]", (0, 2)),
        ("train.layers=all", "all"),
        ("train.which=full", "full"),
        ("optimizer.clip_norm=null", None),
        ("settings.normalize=mean", "mean"),
        ("batch.micro=4", 4),
    ],
)
def test_a_set_is_read_as_yaml_and_numbers_may_have_an_exponent(entry: str, value: Any) -> None:
    found: Any = Recipe.load("npo", [entry])
    for part in entry.partition("=")[0].split("."):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    assert found == value
    assert type(found) is type(value)


def test_the_order_of_sets_does_not_lose_any_and_the_last_word_counts() -> None:
    first = Recipe.load("twin", ["settings.beta=0.3", "method=npo"])
    assert first == Recipe.load("twin", ["method=npo", "settings.beta=0.3"])
    assert first.settings == {"beta": 0.3}
    assert Recipe.load("npo", ["steps=3", "steps=4"]).steps == 4
    assert apply_overrides({}, ["a=1", "a.b=2"]) == {"a": {"b": 2}}
    assert Recipe.load("npo").with_overrides(["steps=4"]).steps == 4


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("steps", "expected key=value"),
        ("=3", "expected key=value"),
        ("steps=[1", "not valid YAML"),
        ("stpes=3", r'unknown key "stpes"; did you mean "steps"'),
        ("optimizer.lrr=3", r'unknown key "optimizer.lrr"; did you mean "lr"'),
        ("phases=[{setps: 3}]", r'unknown key "phases.#1.setps"; did you mean "steps"'),
        ("method=nop", r'unknown method "nop"; did you mean "npo"'),
        ("settings.btea=1", r'^--set settings.btea=1: unknown key "btea"; did you mean "beta"'),
        ("rule=pcgard", r'unknown gradient rule "pcgard"; did you mean "pcgrad"'),
        ("rule_settings.alhpa=1", r"^--set rule_settings.alhpa=1: unknown key"),
        ("steps=many", r'^--set steps=many: must be a whole number, found "many"; optimizer steps'),
        ("steps=0", "^--set steps=0: must be at least 1, found 0"),
        ("optimizer=3", "^--set optimizer=3: must be a mapping of keys to values, found 3"),
        ("retain.loss=l2", "^--set retain.loss=l2: must be 'ce', 'kl', 'logit' or 'none', found"),
        ("settings.beta=-1", "^--set settings.beta=-1: must be greater than 0, found -1"),
        ("settings.normalize=no", "^--set settings.normalize=no: must be 'sum' or 'mean', found false"),
    ],
)
def test_a_mistake_is_one_line_with_the_key_and_the_nearest_one(entry: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Recipe.load("npo", [entry])
    assert "\n" not in str(caught.value)


def test_a_misspelt_required_key_is_named_and_not_the_missing_one(write: Any) -> None:
    with pytest.raises(InputError, match='unknown key "metod"; did you mean "method"'):
        Recipe.load(write("r.yaml", "metod: npo\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: 3\n", 'the key "method" is missing'),
        ("- npo\n", "is not a mapping of keys to values"),
        ("a: [1\n", r"r\.yaml:2: not valid"),
        ("extends: [npo]\n", r"r\.yaml: extends: \['npo'\] is no name"),
        ("1: 2\n", r"r\.yaml: 1: keys must be text"),
        ("extends: nop\n", 'there is no recipe "nop"; did you mean "npo"'),
        ("extends: gone.yaml\n", "gone.yaml: there is no such recipe file"),
        ("", 'the key "method" is missing'),
    ],
)
def test_a_file_that_is_no_recipe_is_named(write: Any, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Recipe.load(write("r.yaml", text))


def test_a_folder_and_a_file_of_bytes_are_no_recipes(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        Recipe.load(tmp_path / "r.yaml")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="could not be read"):
        Recipe.load(tmp_path / "b.yaml")


def test_every_key_is_in_the_digest_and_a_recipe_is_frozen() -> None:
    recipe = Recipe(method="npo")
    for changed in ("seed=1", "train.rank=4", "settings.beta=0.2", "batch.micro=2", "phases=[{steps: 100}]"):
        assert recipe.with_overrides([changed]).digest != recipe.digest
    assert Recipe(**yaml.safe_load(recipe.resolve().to_yaml())).digest == recipe.digest
    with pytest.raises(ValidationError, match="frozen"):
        recipe.steps = 3  # type: ignore[misc]


def test_a_recipe_without_phases_means_one_of_its_steps() -> None:
    assert Recipe(method="ga", steps=7).resolve().phases == (Phase(steps=7),)
    phases = (Phase(objective="retain", steps=2), Phase(objective="forget", steps=3, layers="1/3"))
    assert Recipe(method="ga", steps=7, phases=phases).resolve().total_steps == 5
    assert Recipe(method="ga").train == TrainableConfig()


def test_steps_beside_phases_are_refused_rather_than_ignored() -> None:
    with pytest.raises(InputError, match="--set steps: has no effect beside phases"):
        Recipe.load("sequential", ["steps=5"])
    with pytest.raises(InputError, match="--set steps"):
        Recipe.load("sequential").with_overrides(["steps=5"])
    assert Recipe.load("sequential", ["phases=[]", "steps=5"]).resolve().total_steps == 5
    assert Recipe.load("npo", ["steps=5"]).resolve().total_steps == 5
