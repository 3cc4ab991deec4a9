"""How a batch is cut into forward passes, and how rows are padded."""

from __future__ import annotations

import pytest

from expunge.models.collate import chunks


@pytest.mark.parametrize(
    ("lengths", "fixed", "expected"),
    [([10, 10, 10], 5, [[0, 1, 2]]), ([40, 5, 5, 40], 10, [[1, 2], [0, 3]]), ([40, 5, 5, 40], 1000, [[1, 2, 0, 3]])],
)
def test_a_batch_is_cut_where_padding_costs_more_than_another_pass(
    lengths: list[int], fixed: int, expected: list[list[int]]
) -> None:
    """40, 5, 5, 40 in one pass: 160 tokens; in two: 10 + 80 and twice the fixed cost."""
    assert chunks(lengths, None, fixed) == expected


def test_chunks_hold_every_row_once_and_never_more_than_the_limit() -> None:
    parts = chunks([3, 9, 4, 8, 5, 7], most=2)
    assert sorted(k for part in parts for k in part) == list(range(6))
    assert max(map(len, parts)) == 2
