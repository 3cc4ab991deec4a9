"""`expunge list`: what each recipe is for, the settings of a method, the keys of a recipe."""

from __future__ import annotations

import pytest

from expunge.cli.list_registry import KINDS, _first_comment
from helpers.cli import Cli


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_word_on_each_entry_and_describes_one(cli: Cli, kind: str) -> None:
    items = cli("list", kind, "--json").json["items"]
    assert all(item["about"] for item in items)
    name = items[0]["name"]
    described = cli("list", kind, name)
    assert described.code == 0
    assert described.out.splitlines()[0] == name


def test_a_method_shows_its_settings_with_type_default_and_meaning(cli: Cli) -> None:
    item = cli("list", "methods", "npo", "--json").json["item"]
    beta = item["settings"][0]
    assert (beta["name"], beta["type"], beta["default"]) == ("beta", "float", "0.1")
    assert beta["about"].startswith("inverse temperature")
    assert "inverse temperature" in cli("list", "methods", "npo").out


def test_a_recipe_is_shown_resolved(cli: Cli) -> None:
    assert cli("list", "recipes", "npo", "--json").json["item"]["recipe"]["optimizer"]["lr"] == 0.001
    assert "  lr: 0.001" in cli("list", "recipes", "npo").out.splitlines()


def test_a_key_of_a_recipe_is_explained(cli: Cli) -> None:
    item = cli("list", "settings", "optimizer.lr", "--json").json["item"]
    assert (item["type"], item["default"]) == ("float", "0.001")


def test_an_unknown_entry_names_the_nearest(cli: Cli) -> None:
    result = cli("list", "methods", "npoo")
    assert result.code == 2
    assert result.line.startswith('error: expunge list methods: unknown method "npoo"; did you mean "npo"?')


@pytest.mark.parametrize(
    ("text", "about"),
    [
        (
            "# The default. Distills answers about a surrogate. More.\na: 1\n",
            "The default. Distills answers about a surrogate",
        ),
        ("# A short one.\nextends: base\n", "A short one"),
        (
            "# As printed (arXiv 1, eq. 6), and with that it ends. More.\n",
            "As printed (arXiv 1, eq. 6), and with that it ends",
        ),
        ("extends: base\n# later\n", ""),
    ],
)
def test_the_first_comment_is_cut_after_a_sentence(text: str, about: str) -> None:
    assert _first_comment(text) == about
