"""The private and the plain step find the same gradient."""

from __future__ import annotations

import pytest

from benchmarks.speed import private_step
from benchmarks.speed.cases import model_config
from benchmarks.speed.private_step import CASES, PrivateStepCase, measure
from expunge.errors import InputError, RunFailed

TOY = tuple(
    PrivateStepCase(method, model_config(2, 300, width=32), blocks, ((6, 3), (4, 5), (9, 2)))
    for method, blocks in (("npo", 1), ("grad_diff", 2))
)


@pytest.mark.trains
def test_both_steps_find_the_same_gradient() -> None:
    lines: list[str] = []
    results = measure(pairs=1, cases=TOY, say=lines.append)
    assert {group: list(sizes) for group, sizes in results.items()} == {"npo": ["2/1"], "grad_diff": ["2/2"]}
    for sizes in results.values():
        for case in sizes.values():
            assert 0 <= case["difference"] < 1e-4
            assert 0 < case["ratio"]["min"] <= case["ratio"]["median"] <= case["ratio"]["max"]
    assert len(lines) == 2


def test_steps_that_do_different_things_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    clipped = private_step.WITHOUT_EFFECT.model_copy(update={"clip": 1e-3})
    monkeypatch.setattr(private_step, "WITHOUT_EFFECT", clipped)
    with pytest.raises(RunFailed, match="gradients of the two steps differ"):
        measure(pairs=1, cases=TOY[:1], say=lambda _: None)


def test_cases_are_selected_by_name() -> None:
    assert [case.name for case in CASES] == ["npo:8/4", "npo:8/8", "npo:28/4"]
    with pytest.raises(InputError, match="npo:8/4"):
        measure(names="npo:8/5")
