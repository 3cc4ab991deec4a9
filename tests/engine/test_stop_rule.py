"""When a run has reached its controls: numbers that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from expunge.engine.stop_rule import ControlRange, StopProbe, decay, standing

CONTROLS = ControlRange(low=2.0, high=4.0, given=0.25, lowest=0.2, source="")


def probe(forget: float, given: float = 0.0, retain: float = 0.1, lowest: float = 0.5) -> StopProbe:
    return StopProbe(10, forget, given, lowest, retain)


def test_the_range_is_the_middle_of_the_means_of_the_controls() -> None:
    """Means 1 … 11, so the tenth and ninetieth percentile are 2 and 10; 1 control of 11 gives half of its answers."""
    controls = [np.array([m - 0.5, m + 0.5]) for m in range(1, 12)]
    found = ControlRange.of(controls, "x")
    assert (found.low, found.high) == pytest.approx((2.0, 10.0))
    assert found.given == 0.0
    assert ControlRange.of([np.array([0.5, 3.0]), np.array([0.5, 3.0])], "x").given == pytest.approx(0.5)


def test_a_probe_is_means_and_the_share_of_answers_under_one_nat() -> None:
    found = StopProbe.of(7, np.array([0.5, 1.5, 4.0]), np.array([0.1, 0.3]))
    assert (found.step, found.forget, found.retain) == (7, pytest.approx(2.0), pytest.approx(0.2))
    assert (found.given, found.lowest) == (pytest.approx(1 / 3), 0.5)
    assert StopProbe.of(7, np.array([0.5]), np.array([])).retain == 0.0


@pytest.mark.parametrize(
    ("now", "earlier", "verdict"),
    [
        (probe(1.9), None, "below"),
        (probe(3.0), None, "inside"),
        (probe(2.0), None, "inside"),
        (probe(3.0, given=0.3), None, "given"),
        (probe(3.0, given=0.25), None, "inside"),
        (probe(3.0, lowest=0.1), None, "given"),
        (probe(3.0, retain=0.151), None, "harmed"),
        (probe(5.0), None, "above"),
        (probe(5.0), probe(4.5), "above"),
        (probe(5.0), probe(6.0), "returning"),
    ],
)
def test_what_a_probe_says(now: StopProbe, earlier: StopProbe | None, verdict: str) -> None:
    assert standing(now, earlier, CONTROLS, retain_before=0.1, tolerance=0.05) == verdict


def test_the_learning_rate_falls_over_the_last_steps_only() -> None:
    assert [decay(k, 6, 3) for k in range(6)] == pytest.approx([1, 1, 1, 1, 2 / 3, 1 / 3])
    assert [decay(k, 3, 0) for k in range(3)] == [1, 1, 1]
