"""When a run has reached its controls: pure arithmetic over losses that were measured elsewhere.

The controls are never-trained subjects who are asked the same questions. What the model thinks of the true answers
about them is what a model that never met the subject would think of them about the subject. They are asked on the model
as it stands, because a run moves what it thinks of strangers too. A run is done when the forget records stand there: on
average, with no more single answers that are likelier than they are about a typical control than a control has, and
with none that is so by more than any of theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from expunge.models.likelihoods import Nats

GIVEN = 1.0  # nats per token under the typical control's from which an answer counts as given
CENTRAL = 0.5  # share of the controls' means inside their central range


@dataclass(frozen=True)
class ControlRange:
    """Where the controls stand.

    Attributes:
        low: lower end of the central range of their mean NLL, nats per token.
        high: upper end.
        given: share of answers that lie `GIVEN` or more under the typical control's, at the upper end of the controls.
        lowest: the least difference of a single answer of any control to the typical control's.
        typical: NLL of each forget row of the probe about the typical control.
    """

    low: float
    high: float
    given: float
    lowest: float
    typical: tuple[float, ...]

    @classmethod
    def of(cls, controls: Sequence[Nats], of_probe: Sequence[int | None]) -> ControlRange:
        """Where these controls stand.

        The typical control's NLL of an answer is the median of all controls. Controls with other questions share none;
        their mean stands for every answer then.

        Args:
            controls: per control the NLL of its answers, nats per token; at least one. Controls that are asked the same
                questions have as many answers in the same order.
            of_probe: for each forget row of the probe its position among these questions, None where it has none there.
        """
        tail = (1 - CENTRAL) / 2
        means = [float(np.mean(c)) for c in controls]
        low, high = np.quantile(means, [tail, 1 - tail])
        shared = any(k is not None for k in of_probe)
        median = np.median(np.stack(list(controls)), axis=0) if shared else np.zeros(0)
        mean = float(np.mean(median)) if shared else float(np.mean(means))
        differences = [c - (median if shared else mean) for c in controls]
        share = np.quantile([float(np.mean(d < -GIVEN)) for d in differences], 1 - tail)
        lowest = min(float(d.min()) for d in differences)
        typical = tuple(mean if k is None else float(median[k]) for k in of_probe)
        return cls(float(low), float(high), float(share), lowest, typical)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers."""
        return asdict(self)


@dataclass(frozen=True)
class StopProbe:
    """One measurement during a run.

    Attributes:
        step: finished steps.
        forget: mean NLL of the forget records, nats per token.
        given: share of them that lie `GIVEN` or more under the typical control's.
        lowest: the least difference of one of them to the typical control's.
        retain: mean NLL of the retain records of the probe.
    """

    step: int
    forget: float
    given: float
    lowest: float
    retain: float

    @classmethod
    def of(cls, step: int, forget: Nats, retain: Nats, typical: Sequence[float]) -> StopProbe:
        """forget, typical, retain: NLL of the rows of the probe, nats per token; an empty `retain` counts as 0."""
        loss = float(retain.mean()) if len(retain) else 0.0
        difference = forget - np.asarray(typical)
        return cls(step, float(forget.mean()), float((difference < -GIVEN).mean()), float(difference.min()), loss)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers."""
        return asdict(self)


def standing(
    probe: StopProbe, earlier: StopProbe | None, controls: ControlRange, retain_before: float, tolerance: float
) -> str:
    """What a probe says: `inside`, `above`, or why it does not count (`below`, `given`, `returning`, `harmed`).

    Args:
        probe: the probe.
        earlier: the one before it, if any.
        controls: where the controls stand.
        retain_before: mean NLL of the retain probe before the run.
        tolerance: nats per token by which that may have risen.

    A mean above the controls counts unless it is on its way back to them: some losses push it further at every step.
    """
    if probe.forget < controls.low:
        return "below"
    if probe.given > controls.given or probe.lowest < controls.lowest:
        return "given"
    if probe.retain > retain_before + tolerance:
        return "harmed"
    if probe.forget <= controls.high:
        return "inside"
    return "returning" if earlier is not None and probe.forget < earlier.forget else "above"


PASSING = ("inside", "above")


def decay(step: int, end: int, cooldown: int) -> float:
    """Factor on the learning rate at `step` (from 0) of a run that ends after `end` steps.

    1 until the last `cooldown` steps, then linear to 0 after the last one: with `cooldown` 3 the last factors are 3/3,
    2/3 and 1/3.
    """
    return min(1.0, (end - step) / cooldown) if cooldown else 1.0
