"""When a run has reached its controls: numbers that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from expunge.engine.stop_rule import ControlRange, StopProbe, decay, standing

CONTROLS = ControlRange(low=2.0, high=4.0, given=0.25, lowest=-0.8, typical=())


def probe(forget: float, given: float = 0.0, retain: float = 0.1, lowest: float = -0.5) -> StopProbe:
    return StopProbe(10, forget, given, lowest, retain)


def test_the_range_is_the_middle_half_of_the_means_of_the_controls() -> None:
    """Means 1 … 9, so the quartiles are 3 and 7. The typical control stands at (4.5, 5.5): the first control's answers
    lie 4 under it, and two answers of the probe have none of their own, so that the mean, 5, stands for them."""
    controls = [np.array([m - 0.5, m + 0.5]) for m in range(1, 10)]
    standing_of_controls = ControlRange.of(controls, [1, 0, None])
    assert (standing_of_controls.low, standing_of_controls.high) == pytest.approx((3.0, 7.0))
    assert standing_of_controls.lowest == pytest.approx(-4.0)
    assert standing_of_controls.typical == (5.5, 4.5, 5.0)


def test_an_answer_that_a_typical_control_gets_too_does_not_count_as_given() -> None:
    """Two controls of two answers; the first answer is likely about anybody, the second about the first control."""
    controls = [np.array([0.1, 0.5]), np.array([0.3, 3.0])]
    standing_of_controls = ControlRange.of(controls, [0, 1])
    assert standing_of_controls.typical == pytest.approx((0.2, 1.75))
    assert standing_of_controls.lowest == pytest.approx(-1.25)
    assert standing_of_controls.given == pytest.approx(0.375)  # three quarters of the way from 0 to one answer of two


def test_controls_with_other_questions_share_their_mean() -> None:
    """Means 1 and 3: every answer is compared with 2."""
    standing_of_controls = ControlRange.of([np.array([0.5, 1.5]), np.array([3.0])], [None])
    assert standing_of_controls.typical == (2.0,)
    assert standing_of_controls.lowest == pytest.approx(-1.5)


def test_a_probe_by_hand() -> None:
    one = StopProbe.of(7, np.array([0.5, 1.5, 4.0]), np.array([0.1, 0.3]), (2.0, 2.0, 2.0))
    assert (one.step, one.forget, one.retain) == (7, pytest.approx(2.0), pytest.approx(0.2))
    assert (one.given, one.lowest) == (pytest.approx(1 / 3), -1.5)
    assert StopProbe.of(7, np.array([0.5]), np.array([]), (0.5,)).retain == 0.0


@pytest.mark.parametrize(
    ("now", "earlier", "verdict"),
    [
        (probe(1.9), None, "below"),
        (probe(3.0), None, "inside"),
        (probe(2.0), None, "inside"),
        (probe(3.0, given=0.3), None, "given"),
        (probe(3.0, given=0.25), None, "inside"),
        (probe(3.0, lowest=-0.9), None, "given"),
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
