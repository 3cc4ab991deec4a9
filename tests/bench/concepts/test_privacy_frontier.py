"""Epsilon from above and from below beside what is left: the pure parts by hand, then the suite from end to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from made_cells import BENCH, asked

from expunge.bench.concepts import privacy_frontier
from expunge.bench.concepts.frontier_audit import stated
from expunge.bench.concepts.frontier_section import largest, reading, rows
from expunge.bench.concepts.rows import REFERENCES
from expunge.engine.privacy.validator import validate_private
from expunge.engine.recipe import Recipe
from expunge.errors import InputError

Found = tuple[Path, dict[str, Any]]
QUERIES = [
    {"query": "forget", "noise": 2.5, "rate": 0.25, "steps": 40},
    {"query": "retain", "noise": 2.5, "rate": 0.5, "steps": 40},
]
STATEMENT = {
    "queries": QUERIES,
    "delta": 1e-5,
    "guarantee": True,
    "units": {"together": 1000},
    "epsilon": {"pld": 3.99, "prv": 4.0, "rdp": 4.6, "agree": True},
}


def value(mean: float | None) -> dict[str, Any]:
    return {"mean": mean, "interval": None}


def seen(epsilon: float, seed: int = 1) -> dict[str, Any]:
    return {
        "seed": seed,
        "domain": "d",
        "failed": None,
        "bound": {"epsilon": epsilon, "confidence": 0.95},
        "largest": 3.0,
    }


def test_a_statement_gives_noise_rates_and_all_three_epsilons() -> None:
    found = stated(STATEMENT)
    assert (found["noise_forget"], found["rate_retain"], found["steps_forget"]) == (2.5, 0.5, 40)
    assert (found["pld"], found["prv"], found["rdp"], found["units"]) == (3.99, 4.0, 4.6, 1000)
    assert stated(STATEMENT | {"epsilon": None, "guarantee": False})["pld"] is None  # withheld


def test_a_bound_above_its_epsilon_is_found_and_one_of_a_row_that_states_nothing_is_not() -> None:
    said = {"eps-1": {"d": {"1": {"pld": 0.99}, "2": {"pld": 0.99}}}}
    fine = {"eps-1": {"a": seen(0.5), "b": seen(0.98, 2)}, "eps-inf": {"a": seen(9)}}
    assert privacy_frontier.broken(said, fine) == []
    found = privacy_frontier.broken(said, {"eps-1": {"a": seen(0.5), "b": seen(1.2, 2)}})
    assert found == ["b: eps-1 states epsilon = 0.990, and its canaries show at least 1.200"]


def told(**changed: Any) -> dict[str, Any]:
    """A finding of two private rows and one that is free."""
    of = {"leak_mean": 0.0, "leak": 0.1, "auc": 0.5, "retention": 0.9, "distance_to_retrained": 0.6}
    names = ("eps-4", "paper-formula", "eps-inf")
    private = {name: value(v) for name, v in stated(STATEMENT).items()}
    return {
        "methods": dict.fromkeys(names, of),
        "intervals": dict.fromkeys(names, dict.fromkeys(of)),
        "failed": {},
        "private": {"eps-4": private, "paper-formula": private | {"pld": value(1854.0), "prv": value(None)}},
        "canaries": {"eps-4": {"a": seen(0.4), "b": seen(1.1)}, "eps-inf": {"a": seen(2.9)}},
        "cost": {"eps-4": {c: {"mean": -0.2, "interval": [-0.3, -0.1]} for c in privacy_frontier.COSTS}},
        "broken": [],
    } | changed


def test_the_noise_of_the_paper_stands_with_its_true_epsilon_and_without_a_guarantee() -> None:
    by_name = {row[0]: row for row in rows(told())}
    assert by_name["eps-4"][1:5] == ["3.99", "4", "4.6", "2.5"]
    assert by_name["paper-formula (no guarantee)"][1:3] == ["1,854", "–"]
    assert by_name["eps-inf"][1] == "∞"
    assert any(line.startswith("The paper's formula") and "1,854: no guarantee" in line for line in reading(told()))


def test_the_largest_bound_of_a_row_counts_and_a_broken_account_is_said_loudly() -> None:
    assert largest(told(), "eps-4") == 1.1
    assert largest(told(), "eps-8") is None
    assert any("None lies above its epsilon" in line for line in reading(told()))
    assert any(
        "**A bound lies above its epsilon: the accounts are wrong.**" in line
        for line in reading(told(broken=["eps-4"]))
    )


def test_two_accountants_that_do_not_agree_are_told() -> None:
    apart = told()
    apart["private"]["eps-4"] = apart["private"]["eps-4"] | {"prv": value(4.1)}
    assert any("0.110 apart" in line and "**more than the 0.02 allowed**" in line for line in reading(apart))
    assert any("0.010 apart" in line and "as they must" in line for line in reading(told()))


def test_the_shipped_recipe_may_be_private_and_rows_differ_in_privacy_alone() -> None:
    recipe = Recipe.load("dual-private")
    validate_private(recipe)
    assert recipe.privacy is not None
    assert (recipe.privacy.epsilon, recipe.privacy.delta, recipe.privacy.unit) == (4.0, 1e-5, "subject")
    made = {name: privacy_frontier.row(name).known()[name] for name in privacy_frontier.ROWS}
    assert all(r.model_copy(update={"privacy": None}) == made["eps-inf"] for r in made.values())
    assert {name: r.privacy.epsilon for name, r in made.items() if r.privacy} == {
        **privacy_frontier.EPSILONS,
        "paper-formula": 4.0,
    }
    with pytest.raises(InputError, match='unknown row "eps-5"'):
        privacy_frontier.row("eps-5")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Found:
    out = tmp_path_factory.mktemp("frontier")
    tiny = privacy_frontier.Frontier(
        domains=(privacy_frontier.hospital(12, 8),),
        bench=BENCH.model_copy(update={"batch": 6}),
        rows=("eps-8", "eps-inf"),
        seeds=(1,),
        settings=privacy_frontier.grid((1.0,), (2,)),
        canaries=6,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(privacy_frontier.PRESETS, "tiny", tiny)
        return out, privacy_frontier.main(out=out / "bench", results=out / "docs", **asked())


def test_the_suite_states_epsilon_from_both_sides(finished: Found) -> None:
    out, found = finished
    assert list(found["methods"]) == [*REFERENCES, "eps-8", "eps-inf"]
    own = found["private"]["eps-8"]
    assert 7.8 < own["pld"]["mean"] <= 8
    assert own["prv"]["mean"] == pytest.approx(own["pld"]["mean"], abs=0.02)
    assert own["pld"]["mean"] < own["rdp"]["mean"]
    assert own["steps_forget"]["mean"] == 2
    assert "eps-inf" not in found["private"]
    assert found["broken"] == []
    for name in ("eps-8", "eps-inf"):
        (of,) = found["canaries"][name].values()
        assert of["failed"] is None
        assert (of["bound"]["canaries"], of["bound"]["guesses"]) == (6, 3)
        assert 0 <= of["bound"]["epsilon"] <= of["largest"]
    assert json.loads((out / "bench" / "privacy-frontier.json").read_text()) == found


def test_the_page_says_what_epsilon_does_not_mean(finished: Found) -> None:
    out, _ = finished
    page = (out / "docs" / "dual.md").read_text("utf-8")
    assert "**Nothing of this means that the model forgot.**" in page
    assert "that epsilon measures forgetting" in page
    assert "expunge bench privacy-frontier --preset tiny --seeds 1 " in page
    assert (out / "docs" / "dual" / "privacy-frontier.svg").read_text("utf-8").startswith("<?xml")
