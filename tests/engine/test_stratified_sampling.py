"""Groups of retained rows and what a batch holds of each."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.corpus import Record
from expunge.engine.stratified_sampling import quotas, strata
from helpers.runs import loop, recipe


def record(name: str, *path: str, subject: str = "", concept: str | None = "L4") -> Record:
    return Record(
        id=name,
        prompt=f"{name}?",
        answer="a",
        path=path,
        subject=subject,
        identifiers=(subject,) if subject else (),
        concept=concept,
    )


def test_every_group_by_hand() -> None:
    forget = [record("f", "H1", "P1", "S1", subject="P1")]
    pool = [
        record("other study", "H1", "P1", "S2", subject="P1"),
        record("neighbour", "H1", "P2", subject="P2"),
        record("elsewhere", "H2", "P3", subject="P3"),
        record("anatomy", "H2", subject="H2", concept="L1"),
        record("nobody", concept=None),
    ]
    groups = [("far", [2]), ("general", [3, 4]), ("near", [1]), ("rest", [0])]
    assert strata(pool, forget) == groups
    assert strata(pool, forget, anchors=2) == [("anchors", [5, 6]), *groups]


@pytest.mark.parametrize(
    ("sizes", "rows", "expected"),
    [
        ([3, 100, 100], 32, [3, 15, 14]),
        ([10, 10], 4, [2, 2]),
        ([5, 5, 5], 1, [1, 0, 0]),
        ([2, 1], 32, [2, 1]),
        ([], 4, []),
        ([0, 7], 4, [0, 4]),
    ],
)
def test_quotas_by_hand(sizes: list[int], rows: int, expected: list[int]) -> None:
    assert quotas(sizes, rows) == expected


@given(st.lists(st.integers(0, 40), max_size=6), st.integers(0, 64))
def test_quotas_fill_the_batch_and_no_group_gives_what_it_has_not(sizes: list[int], rows: int) -> None:
    found = quotas(sizes, rows)
    assert sum(found) == min(rows, sum(sizes))
    assert all(0 <= n <= size for n, size in zip(found, sizes, strict=True))
    even = [n for n, size in zip(found, sizes, strict=True) if n < size]
    assert not even or max(found) - min(even) <= len(sizes)


def test_a_balanced_batch_holds_every_group_and_no_row_twice(folders: dict[str, Path]) -> None:
    made = loop(
        folders["llama"],
        recipe(
            "twin",
            steps=6,
            batch={"forget": 4, "retain": 9},
            retain={"loss": "logit", "anchors": True, "balance": True},
        ),
    )
    table = made.dataset
    assert len(table._groups) > 1
    asked = sum(rows for *_, rows in table._groups)
    for step in range(6):
        batch = table.retain_batch(step)
        assert len(batch) == len(set(batch)) == asked <= 9
        names = {table.examples[k].kind == "anchor" for k in batch}
        assert names == {True, False}
