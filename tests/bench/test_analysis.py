"""Means, intervals over seeds and differences, by hand."""

from __future__ import annotations

import pytest

from expunge.bench.analysis import difference, estimate, mean, pareto_front, summarize, t_interval
from expunge.bench.experiment import PairedComparison
from expunge.bench.measures.base import Cells
from expunge.bench.study import compare
from expunge.bench.table import format_cell
from helpers.experiments import plugin

transfer = plugin("transfer")
CELLS: Cells = {"a": {"1": {"leak": 0.1}, "2": {"leak": 0.3}}, "b": {"1": {"leak": 0.3}, "2": {"leak": 0.5}}}


def test_the_interval_of_three_values_is_students() -> None:
    low, high = t_interval([1.0, 2.0, 3.0]) or (0, 0)
    assert (low, high) == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5), abs=1e-5)
    assert t_interval([1.0]) is None


def test_worlds_are_averaged_before_seeds() -> None:
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
    comparison = PairedComparison(key="k", minus="base", arms=("x", "absent"), columns=("leak",))
    found = compare({"x": moved, "base": CELLS}, comparison)
    assert list(found) == ["x"]
    assert found["x"]["leak"]["mean"] == pytest.approx(0.1)
    by_request = compare({"x": moved, "base": CELLS}, comparison.model_copy(update={"by_request": True, "arms": ()}))
    assert by_request["x"]["a"]["leak"]["mean"] == pytest.approx(0.2)
    assert compare({"x": moved}, comparison) == {}  # its base was not run


def test_a_summary_says_which_cells_failed_and_keeps_the_rest() -> None:
    found = summarize(
        {"npo": {"a": {"1": {}, "2": {"leak": 0.25}}}}, {"npo": ["a, seed 1: diverged"]}, ["leak", "retention"]
    )
    assert found["methods"]["npo"]["leak"] == 0.25
    assert found["methods"]["npo"]["retention"] is None
    assert found["failed"] == {"npo": ["a, seed 1: diverged"]}


def test_figures_are_shown_with_the_half_width_of_their_interval() -> None:
    assert format_cell(0.5) == "0.500"
    assert format_cell({"mean": -0.25, "interval": [-0.5, 0.0]}) == "−0.250 ± 0.250"
    assert format_cell({"mean": 0.5, "low": 0.4, "high": 0.7}) == "0.500 [0.400 to 0.700]"
    assert [format_cell(v) for v in (True, 12, "x", {"mean": None})] == ["yes", "12", "x", "–"]
    assert format_cell(-0.0001) == "0.000"
    assert format_cell(None) == "–"


def test_a_foreign_trial_is_compared_with_the_own_one() -> None:
    def cells(a: float, b: float) -> Cells:
        return {
            d: {s: {"distance_to_retrained": v + 0.1 * k, "retention": 1.0} for k, s in enumerate("12")}
            for d, v in (("a", a), ("b", b))
        }

    tuned = {"a": cells(0.2, 0.9), "b": cells(0.6, 0.4)}
    assert transfer._row(tuned["a"])["b"]["distance_to_retrained"]["mean"] == pytest.approx(0.95)
    found = transfer._transfer(tuned)["distance_to_retrained"]  # b in a: .6 - .2; a in b: .9 - .4
    assert found["mean"] == pytest.approx(0.45)
    assert found["interval"] == pytest.approx([0.45, 0.45])


def test_the_front_holds_who_is_nearer_or_keeps_more() -> None:
    """b is beaten by a (nearer and keeps more), d by c (as near, keeps more); equals stay both."""
    points = {"a": (0.4, 0.97), "b": (0.5, 0.96), "c": (0.9, 0.99), "d": (0.9, 0.98), "e": (0.9, 0.99)}
    assert pareto_front(points) == ["a", "c", "e"]
    assert pareto_front({}) == []
