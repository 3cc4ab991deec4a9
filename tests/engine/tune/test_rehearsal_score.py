"""What a rehearsal is worth: numbers that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from expunge.engine.tune.rehearsal_score import Hits, RehearsalScore, compare_retention, rank_among, score_of


def hits(*pairs: tuple[int, int]) -> Hits:
    return Hits(np.array([r for r, _ in pairs]), np.array([t for _, t in pairs]))


def test_the_value_is_gap_plus_edge_of_the_rank_plus_missing_retention() -> None:
    """|2.5 - 3| = .5; a rank of 1 is .1 beyond .9; .01 of retention is missing, at 20 each."""
    inside = RehearsalScore(10, 2.5, 3.0, 0.3, 0.0, 1.0, 0.99)
    edge = RehearsalScore(10, 2.5, 3.0, 1.0, 0.0, 0.97, 0.99)
    assert inside.value(0.98) == pytest.approx(0.5)
    assert edge.retention == 0.97
    assert edge.value(0.98) == pytest.approx(0.5 + 0.1 + 0.2)


def test_a_rank_counts_equals_half() -> None:
    assert rank_among(2.0, [1.0, 2.0, 3.0, 4.0]) == pytest.approx(1.5 / 4)
    assert (rank_among(0.0, [1.0, 2.0]), rank_among(9.0, [1.0, 2.0])) == (0.0, 1.0)


def test_retention_counts_only_what_was_right_before() -> None:
    """Before: 3 of 3, 2 of 2, 1 of 4. Now: 3, 1, 4. Tokens (3 + 1 + 1) / 6; one of two whole answers is left."""
    before, now = hits((3, 3), (2, 2), (1, 4)), hits((3, 3), (1, 2), (4, 4))
    assert compare_retention(now, before) == pytest.approx((5 / 6, 1 / 2))
    assert compare_retention(now, hits((0, 3), (0, 2), (0, 4))) == (1.0, 1.0)


def test_a_score_is_made_of_means() -> None:
    controls = [np.array([2.0, 4.0]), np.array([5.0, 7.0])]
    found = score_of(4, np.array([3.0, 5.0]), hits((2, 2), (0, 2)), controls, hits((1, 1)), hits((1, 1)))
    assert (found.forget, found.controls, found.rank, found.given) == (4.0, 4.5, 0.5, 0.5)
    assert (found.tokens, found.text, found.step) == (1.0, 1.0, 4)
