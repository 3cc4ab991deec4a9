"""The private and the plain step find the same gradient: otherwise a ratio of their times says nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from expunge.bench import private_step
from expunge.bench.private_step import CASES, HEADS, Case, main, table
from expunge.bench.step import model
from expunge.errors import InputError, RunFailed

TOY = tuple(
    Case(method, method, model(2, 300, width=32), top, ((6, 3), (4, 5), (9, 2)))
    for method, top in (("npo", 1), ("grad_diff", 2))
)


@pytest.fixture(autouse=True)
def threads() -> Any:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_both_steps_find_the_same_gradient() -> None:
    lines: list[str] = []
    found = main(pairs=1, cases=TOY, say=lines.append)
    assert {group: list(sizes) for group, sizes in found.items()} == {"npo": ["2/1"], "grad_diff": ["2/2"]}
    for sizes in found.values():
        for of in sizes.values():
            assert 0 <= of["difference"] < 1e-4
            assert 0 < of["ratio"]["min"] <= of["ratio"]["median"] <= of["ratio"]["max"]
    assert len(lines) == 2
    assert [len(row) for row in table(found)] == [len(HEADS)] * 2


def test_steps_that_do_different_things_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    clipped = private_step.UNFELT.model_copy(update={"clip": 1e-3})
    monkeypatch.setattr(private_step, "UNFELT", clipped)
    with pytest.raises(RunFailed, match="gradients differ"):
        main(pairs=1, cases=TOY[:1], say=lambda _: None)


def test_cases_are_chosen_by_name() -> None:
    assert [case.name for case in CASES] == ["npo:8/4", "npo:8/8", "npo:28/4"]
    with pytest.raises(InputError, match="npo:8/4"):
        main(names="npo:8/5")
