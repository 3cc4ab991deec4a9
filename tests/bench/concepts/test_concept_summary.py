"""Means, intervals over seeds, choices of settings and pages: arithmetic that can be checked by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from expunge.bench.concepts.cross_domain import matrix, transfer
from expunge.bench.concepts.forest import Forest, Mark, draw, marks
from expunge.bench.concepts.intervals import difference, estimate, mean, t_interval
from expunge.bench.concepts.page import publish
from expunge.bench.concepts.rows import RECIPES, rows
from expunge.bench.concepts.suite import Cells
from expunge.bench.concepts.summary import COLUMNS, differences, shown, summarised, table
from expunge.bench.concepts.tuning import chosen, grid, trial
from expunge.bench.tune import Setting
from expunge.errors import InputError

CELLS: Cells = {"a": {"1": {"leak": 0.1}, "2": {"leak": 0.3}}, "b": {"1": {"leak": 0.3}, "2": {"leak": 0.5}}}


def test_the_interval_of_three_values_is_students() -> None:
    low, high = t_interval([1.0, 2.0, 3.0]) or (0, 0)
    assert (low, high) == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5), abs=1e-5)
    assert t_interval([1.0]) is None


def test_worlds_are_averaged_before_seeds_so_they_do_not_narrow_the_interval() -> None:
    middle, interval = estimate(CELLS, "leak")  # 0.2 at seed 1, 0.4 at seed 2
    assert middle == pytest.approx(0.3)
    assert interval == pytest.approx(t_interval([0.2, 0.4]))
    assert estimate({"a": CELLS["a"]}, "leak")[0] == pytest.approx(0.2)


def test_what_does_not_exist_is_left_out_and_nothing_at_all_is_none() -> None:
    assert mean([None, 1.0, float("nan"), 3.0]) == 2
    assert mean([None]) is None
    gone: Cells = {"a": {"1": {}, "2": {"leak": 0.3}}}
    assert estimate(gone, "leak") == (0.3, None)
    assert estimate({"a": {"1": {}}}, "leak") == (None, None)


def test_differences_are_paired_by_seed() -> None:
    moved: Cells = {"a": {"1": {"leak": 0.3}, "2": {"leak": 0.5}}}
    middle, interval = difference(moved, {"a": CELLS["a"]}, "leak")
    assert middle == pytest.approx(0.2)
    assert interval == pytest.approx((0.2, 0.2))  # both seeds moved alike
    found = differences({"x": moved, "base": CELLS}, "base", ("x", "absent"), ("leak",))
    assert list(found) == ["x"]
    assert found["x"]["leak"]["mean"] == pytest.approx(0.1)


def test_a_summary_says_which_cells_failed_and_keeps_the_rest() -> None:
    found = summarised({"npo": {"a": {"1": {}, "2": {"leak": 0.25}}}}, {"npo": ["a, seed 1: diverged"]})
    assert found["methods"]["npo"]["leak"] == 0.25
    assert found["methods"]["npo"]["retention"] is None
    assert found["failed"] == {"npo": ["a, seed 1: diverged"]}
    assert set(found["methods"]["npo"]) == set(COLUMNS)
    assert table(found, {"leak": "leak", "retention": "retention"}) == [["npo", "0.250", "–"]]


def test_figures_are_shown_with_the_half_width_of_their_interval() -> None:
    assert shown(0.5) == "0.500"
    assert shown(-0.25, [-0.5, 0.0]) == "−0.250 ± 0.250"
    assert shown(-0.0001) == "0.000"
    assert shown(None) == "–"


def test_every_setting_of_the_grid_is_tried_and_the_nearest_that_keeps_is_chosen() -> None:
    settings = grid((0.5, 2), (10,), (1, 4))
    assert [(s.lr_factor, s.retain_factor) for s in settings] == [(0.5, 1), (0.5, 4), (2, 1), (2, 4)]
    found = [{"distance_to_retrained": d, "retention": k} for d, k in ((1, 0.99), (0.2, 0.9), (0.7, 0.96))]
    best = chosen([*(trial(s, f) for s, f in zip(settings, found, strict=False)), trial(settings[3], "diverged")])
    assert best["chosen"] == settings[2].model_dump()
    assert [t["distance"] for t in best["trials"]] == [1, 0.2, 0.7, None]
    assert chosen([trial(s, "diverged") for s in settings])["chosen"] is None
    assert trial(Setting(lr_factor=1, steps=1), {"distance_to_retrained": 1, "retention": None}).kept == 0


def test_rows_have_recipes_and_an_unknown_one_is_named_with_its_nearest() -> None:
    assert {
        "full",
        "twin-kl",
        "ga",
        "grad_diff",
        "kl_min",
        "npo",
        "simnpo",
        "ihl",
        "random_relabel",
        "sequential",
    } <= set(RECIPES)
    assert [r.name for r in rows(("full", "npo", "ga"), ("ga", "full"))] == ["full", "ga"]
    with pytest.raises(InputError, match='unknown row "nppo"; did you mean "npo"'):
        rows(("npo",), ("nppo",))
    with pytest.raises(InputError, match="names one twice"):
        rows(("npo",), ("npo", "npo"))


def test_a_page_holds_the_sections_of_all_suites_in_their_order_and_loses_none(tmp_path: Path) -> None:
    page = tmp_path / "dual.md"
    publish({"bench": "cross-domain"}, lambda folder: "## Across", {}, page)
    publish({"bench": "dual-ablation"}, lambda folder: f"## Parts ![p]({folder}/p.svg)", {"p.svg": "<svg/>"}, tmp_path)
    publish({"bench": "cross-domain", "n": 2}, lambda folder: "## Across again", {}, page)
    text = page.read_text("utf-8")
    assert text.index("## Parts ![p](dual/p.svg)") < text.index("## Across again")
    assert "## Across\n" not in text
    assert (tmp_path / "dual" / "p.svg").read_text("utf-8") == "<svg/>"
    assert json.loads((tmp_path / "dual" / "cross-domain.json").read_text("utf-8"))["found"]["n"] == 2


def test_a_foreign_setting_is_compared_with_the_domains_own() -> None:
    def cells(a: float, b: float) -> Cells:
        return {
            d: {s: {"distance_to_retrained": v + 0.1 * k, "retention": 1.0} for k, s in enumerate("12")}
            for d, v in (("a", a), ("b", b))
        }

    tuned = {"a": cells(0.2, 0.9), "b": cells(0.6, 0.4)}
    assert matrix(tuned)["a"]["b"]["distance_to_retrained"]["mean"] == pytest.approx(0.95)
    found = transfer(tuned)["distance_to_retrained"]  # b in a: .6 - .2; a in b: .9 - .4
    assert found["mean"] == pytest.approx(0.45)
    assert found["interval"] == pytest.approx([0.45, 0.45])


def test_the_picture_names_every_row_nearest_first_and_is_the_same_twice() -> None:
    found = {
        "methods": {"npo": {"d": 2.0, "r": 0.9}, "full": {"d": 1.0, "r": None}, "gone": {"d": None, "r": None}},
        "intervals": {"npo": {"d": [1.5, 2.5], "r": None}, "full": {"d": None, "r": None}},
    }
    rows_ = marks(found, ("d", "r"), {"full": "strategy"})
    assert rows_ == (
        Mark("full", (1.0, None), (None, None), "strategy"),
        Mark("npo", (2.0, 0.9), ([1.5, 2.5], None), "baselines"),
    )
    picture = draw(Forest("Title", ("far", "kept"), rows_, ((0, 0.3, "noise"),)))
    assert all(f">{word}<" in picture for word in ("full", "npo", "far", "kept", "noise", "strategy", "baselines"))
    assert picture == draw(Forest("Title", ("far", "kept"), rows_, ((0, 0.3, "noise"),)))
