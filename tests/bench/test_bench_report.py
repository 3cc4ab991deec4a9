"""Tables, goals and claims by hand; the pages of all stored results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from expunge._io import read_json
from expunge.bench import plots
from expunge.bench.experiment import Experiment, names
from expunge.bench.experiment_parts import Claim, Goal, PageTable
from expunge.bench.report import judge_claim, judge_goal, publish, table_cells
from expunge.bench.table import markdown, matches, plain, value_at
from helpers.experiments import BENCHMARKS

STORED = sorted(p.parent.name for p in (BENCHMARKS / "results").glob("*/cpu.json"))
RESULTS: dict[str, Any] = {
    "domains": {"a": {}, "b": {}},
    "methods": {"retrained-2": {"ks": 0.1, "retention": 1.0}, "npo": {"ks": 0.16, "retention": 0.9}},
    "intervals": {"retrained-2": {"ks": None, "retention": None}, "npo": {"ks": [0.1, 0.22], "retention": None}},
    "by_domain": {"retrained-2": {"a": {"ks": 0.1}}, "npo": {"a": {"ks": 0.14, "retention": 0.9}, "b": {"ks": None}}},
    "cells": {
        "npo": {"a": {"1": {"leak": 0.4}, "2": {"leak": 0.5}}},
        "ga": {"a": {"1": {"leak": 0.2}, "2": {"leak": 0.3}}},
    },
    "sides": [{"title": "Parts", "by_domain": {"npo": {"a": {"ks": 0.5}}}}],
}


def test_a_path_matches_keys_and_lists_by_title() -> None:
    assert matches(RESULTS, "by_domain/*/a/ks") == [(("retrained-2",), 0.1), (("npo",), 0.14)]
    assert matches(RESULTS, "sides/*/by_domain/*/*/ks") == [(("Parts", "npo", "a"), 0.5)]
    assert value_at(RESULTS, "methods/npo/ks") == 0.16
    assert (value_at(RESULTS, "methods/gone/ks"), value_at(3, ".")) == (None, 3)


def test_cells_show_means_intervals_and_joined_keys() -> None:
    heads, rows = table_cells(PageTable(title="t", columns={"ks": "KS", "retention": "kept"}), RESULTS)
    assert heads == ["", "KS", "kept"]
    assert rows[1] == ["npo", "0.160 ± 0.060", "0.900"]
    table = PageTable(title="t", of="by_domain/*", columns="requests", cell=("ks", "retention"), places=1)
    assert table_cells(table, RESULTS)[1] == [["retrained-2", "0.1 / –", "– / –"], ["npo", "0.1 / 0.9", "– / –"]]
    assert plain(["x", "n"], [["long", "1"]]) == "x     n\nlong  1"
    assert markdown(["x", "n"], [["a", "1"]]) == "| x | n |\n| --- | ---: |\n| a | 1 |"


@pytest.mark.parametrize(
    ("goal", "request_", "judged"),
    [
        (
            Goal(column="ks", text="", at_most=1.5, times_second=True),
            None,
            ("at most 1.5 × the second seed", "0.160 ✗ not reached (0.100)"),
        ),
        (
            Goal(column="ks", text="", at_most=1.5, times_second=True),
            "a",
            ("at most 1.5 × the second seed", "0.140 ✓ (0.100)"),
        ),
        (Goal(column="retention", text="", at_least=0.9), None, ("at least 0.9", "0.900 ✓ (1.000)")),
        (Goal(column="retention", text="", at_least=0.95), "a", ("at least 0.95", "0.900 ✗ not reached")),
        (Goal(column="ks", text="", at_most=1), "b", ("at most 1", "–")),
    ],
)
def test_a_goal_is_shown_reached_or_not(goal: Goal, request_: str | None, judged: tuple[str, str]) -> None:
    assert judge_goal(goal, RESULTS, "npo", request_) == judged


def test_a_claim_holds_where_its_interval_is_on_its_side() -> None:
    claim = Claim(name="c", arm="npo", minus="ga", column="leak", sign="+", text="more leaks")
    line = "(c) more leaks: **holds**. `npo` − `ga`: leak 0.200 [0.200 to 0.200]."
    assert judge_claim(claim, RESULTS) == line
    assert "**not shown**" in judge_claim(claim.model_copy(update={"sign": "-"}), RESULTS)
    assert "not judged" in judge_claim(claim.model_copy(update={"arm": "gone"}), RESULTS)
    level = Claim(name="a", arm="npo", minus="full", level="L4", sign="+", text="kept")
    stored = {"key": "a", "effects": {"exact": {"mean": 0.5, "deciding": [0.1, 0.9]}}, "holds": True}
    assert (
        judge_claim(level, {"claims": [stored]})
        == "(a) kept: **holds**. `npo` − `full` on L4: exact 0.500 [0.100 to 0.900]."
    )
    assert "not judged" in judge_claim(level, {"claims": []})


@pytest.mark.parametrize("name", STORED)
def test_stored_results_give_the_page_that_is_in_the_docs(name: str, tmp_path: Path) -> None:
    pages = publish(Experiment.load(name), tmp_path), BENCHMARKS.parent / "docs" / "benchmarks" / f"{name}.md"
    made, kept = (page.read_text("utf-8").split("\n\n") for page in pages)
    assert [part for part in kept if "gallery.svg" not in part] == made  # its images are not in the stored results
    for picture in tmp_path.glob("*/*.svg"):
        assert picture.read_text("utf-8").startswith("<?xml")


@pytest.mark.parametrize("name", STORED)
def test_stored_results_hold_every_column_of_a_page(name: str) -> None:
    results = read_json(BENCHMARKS / "results" / name / "cpu.json")
    for table in Experiment.load(name).report.tables:
        if table.of.split("/")[0] not in results:
            continue  # of a measure that is younger than these results
        heads, rows = table_cells(table, results)
        missing = [head for k, head in enumerate(heads) if k and all(row[k] == "–" for row in rows)]
        if len(results["seeds"]) == 1:
            missing = [head for head in missing if "seeds" not in head]
        assert not missing or table.columns == "requests", (table.title, missing)


@pytest.mark.parametrize("name", names())
def test_the_overview_and_the_site_list_every_experiment(name: str) -> None:
    overview = (BENCHMARKS.parent / "docs" / "benchmarks" / "index.md").read_text("utf-8")
    assert f"| [{name}]({name}.md) | {Experiment.load(name).question} |\n" in overview
    assert f"benchmarks/{name}.md" in (BENCHMARKS.parent / "mkdocs.yml").read_text("utf-8")


def test_a_forest_names_every_row_nearest_first_and_is_the_same_twice() -> None:
    results = {
        "methods": {"npo": {"d": 2.0, "r": 0.9}, "full": {"d": 1.0, "r": None}, "gone": {"d": None, "r": None}},
        "intervals": {"npo": {"d": [1.5, 2.5], "r": None}},
    }
    settings = {
        "title": "T",
        "columns": ["d", "r"],
        "heads": ["far", "kept"],
        "sort": True,
        "groups": {"ours": ["full"]},
        "lines": [[0, "methods/full/d", "noise"], [1, 0.5, "half"]],
    }
    picture = plots.draw("forest", results, settings)
    assert all(f">{word}<" in picture for word in ("full", "npo", "far", "kept", "noise", "half", "ours", "others"))
    assert picture.index(">full<") < picture.index(">npo<")
    assert ">gone<" not in picture
    assert picture == plots.draw("forest", results, settings)
    assert plots.draw("forest", {"methods": {}}, settings) == ""
