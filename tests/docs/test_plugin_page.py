"""The package of `docs/extend/plugins.md`, installed as it stands there, beside one that is broken."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "extend" / "plugins.md"


def block(language: str) -> str:
    """The only code block of a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    return str(found)


def install(folder: Path, name: str, groups: dict[str, dict[str, str]]) -> None:
    """What pip writes of a package that names entry points."""
    about = folder / f"{name.replace('-', '_')}-0.1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
    lines = [
        line for group, points in groups.items() for line in (f"[{group}]", *(f"{k} = {v}" for k, v in points.items()))
    ]
    (about / "entry_points.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with the package of the page and a broken plugin, as on a machine where both are installed."""
    recipes = tmp_path / "my_unlearning" / "recipes"
    recipes.mkdir(parents=True)
    for package in (recipes.parent, recipes):
        (package / "__init__.py").write_text("")
    (recipes.parent / "method.py").write_text(block("python"))
    (recipes / "flatten.yaml").write_text(block("yaml"))
    project = tomllib.loads(block("toml"))["project"]
    install(tmp_path, project["name"], project["entry-points"])
    install(tmp_path, "broken", {"expunge.methods": {"lost": "no_such_module:Lost"}})
    return tmp_path


def expunge(site: Path, *words: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(site), *sys.path])
    command = [sys.executable, "-m", "expunge", *words]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True)


@pytest.mark.process
def test_the_package_of_the_page_adds_a_method_and_a_recipe(site: Path) -> None:
    method = json.loads(expunge(site, "list", "methods", "flatten", "--json").stdout)["item"]
    assert method["settings"][0]["name"] == "floor"
    recipe = json.loads(expunge(site, "list", "recipes", "flatten", "--json").stdout)["item"]
    assert recipe["about"] == "Flatten with a retain term, for short answers"
    assert (recipe["recipe"]["method"], recipe["recipe"]["settings"]) == ("flatten", {"floor": -4.0})


@pytest.mark.process
def test_a_broken_plugin_is_one_warning_with_its_package(site: Path) -> None:
    done = expunge(site, "list", "methods")
    assert "flatten" in done.stdout
    assert done.stderr.splitlines() == [
        'warning: plugin "lost" (expunge.methods) of the package broken is left out: ModuleNotFoundError: '
        "No module named 'no_such_module'; repair or uninstall it"
    ]
