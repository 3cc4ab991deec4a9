"""Fronts and their differences at equal forgetting, and figures of draws: numbers that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from expunge.audit.statistics import auc, ks_distance
from expunge.bench.front import common_range, equal_forgetting, front, percentile_interval, retention_at
from expunge.bench.resampling import aucs, draw_counts, ks_distances, means, ratios

POINTS = [(0.2, 1.0), (0.4, 0.7), (0.5, 0.9), (0.8, 0.5), (0.8, 0.4)]


def test_a_front_holds_what_no_other_point_beats() -> None:
    assert front(POINTS) == [(0.2, 1.0), (0.5, 0.9), (0.8, 0.5)]
    assert front([(float("nan"), 1.0)]) == front([]) == []


@pytest.mark.parametrize(
    ("forgetting", "retention"),
    [(0.1, 1.0), (0.2, 1.0), (0.35, 0.95), (0.5, 0.9), (0.65, 0.7), (0.8, 0.5), (0.9, None)],
)
def test_retention_lies_on_straight_lines(forgetting: float, retention: float | None) -> None:
    value = retention_at(forgetting, front(POINTS))
    assert value == (None if retention is None else pytest.approx(retention))


def test_arms_are_compared_where_both_forget_as_much() -> None:
    line, lower = [(0.0, 1.0), (1.0, 0.0)], [(0.5, 0.4), (1.0, -0.1)]
    assert common_range(line, lower) == (0.5, 1.0)
    assert equal_forgetting(line, lower) == pytest.approx(0.1)  # .1 more at every degree
    assert equal_forgetting(lower, line) == pytest.approx(-0.1)
    assert equal_forgetting(line, [(0.5, 0.5)]) == pytest.approx(0)  # a single point on the line
    assert equal_forgetting([(0.1, 1.0)], [(0.5, 0.9)]) is None  # no degree in common
    assert equal_forgetting([], line) is None


def test_an_interval_needs_half_of_the_draws() -> None:
    assert percentile_interval([0.0, 1.0, None, 2.0], level=0.5) == (0.5, 1.5)
    assert percentile_interval([None, None, 1.0]) is None


def test_figures_of_draws_are_those_of_the_records_drawn() -> None:
    counts = draw_counts(4, 3, seed=1)
    assert counts.shape == (4, 4)
    assert counts[0].tolist() == [1, 1, 1, 1]
    assert set(counts.sum(-1)) == {4}
    a, b = np.array([1.0, 2.0, 2.0, 5.0]), np.array([0.0, 2.0, 3.0, 4.0])
    assert means(a, counts)[0] == 2.5
    assert ratios(a, b, counts)[0] == pytest.approx(10 / 9)
    for k, row in enumerate(counts):
        drawn = np.repeat(np.arange(4), row.astype(int))
        assert means(a, counts)[k] == pytest.approx(a[drawn].mean())
        assert aucs(a, b, counts, counts)[k] == pytest.approx(auc(a[drawn], b[drawn]))
        assert ks_distances(a, b, counts)[k] == pytest.approx(ks_distance(a[drawn], b[drawn]))
