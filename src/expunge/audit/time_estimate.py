"""How long an audit may take, from the size of the model and the number of tokens that it reads.

A token costs about two operations per parameter. The speed of a machine is not measured but assumed, so an estimate is
right within a factor of three or so on a processor that does nothing else. It is worse where others use the processor
too, and on a graphics card, whose speed varies more. What a check costs beside its records (loading, training) is known
in rough numbers only.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from expunge._config import FrozenModel

PER_THREAD = 7e10  # operations per second of one thread of a processor
ACCELERATOR = 2e13  # operations per second of a graphics card, in small batches
PER_RECORD = 5e-4  # seconds that a record costs beside what the model computes
PER_STAGE = 0.3  # seconds of every stage, whatever the model
PER_LOAD = 0.1, 2e-8  # seconds to load a model: fixed, and per parameter
FACTOR = 3.0  # a processor that does nothing else is mostly within it


class TimeEstimate(FrozenModel):
    """Seconds that an audit may take."""

    seconds: float = Field(description="the estimate")
    low: float = Field(description="a third of it")
    high: float = Field(description="three times as much")
    stages: dict[str, float] = Field({}, description="seconds by stage, named as in `stages` of audit.json")
    basis: str = Field("", description="what the estimate rests on")


def pass_seconds(parameters: int, records: int, tokens: float, speed: float) -> float:
    """Seconds of one scoring pass over `records` of `tokens` tokens each at `speed` operations per second."""
    return records * (PER_RECORD + 2 * parameters * tokens / speed)


def load_seconds(parameters: int) -> float:
    """Seconds to load a model once."""
    fixed, each = PER_LOAD
    return fixed + each * parameters


def speed_of(device: str, threads: int) -> float:
    """Assumed operations per second of a device (`cpu`, `cuda:0`, …)."""
    return PER_THREAD * threads if device.startswith("cpu") else ACCELERATOR


def estimate(stages: Mapping[str, float], device: str, threads: int, parameters: int) -> TimeEstimate:
    """The sum over stages, with its range."""
    seconds = sum(stages.values())
    where = f"{threads} threads" if device.startswith("cpu") else device
    return TimeEstimate(
        seconds=round(seconds, 1),
        low=round(seconds / FACTOR, 1),
        high=round(seconds * FACTOR, 1),
        stages={name: round(value, 2) for name, value in stages.items()},
        basis=f"{parameters} parameters, numbers of tokens, an assumed speed of {where}; nothing is measured",
    )


class Schedule:
    """The share of an audit that is done before each of its stages, by the estimate."""

    def __init__(self, stages: Mapping[str, float]) -> None:
        """From seconds by stage in the order in which they come."""
        total = sum(stages.values()) or 1.0
        self._before: dict[str, float] = {}
        done = 0.0
        for name, seconds in stages.items():
            self._before[name] = done / total
            done += seconds
        self._last = 0.0

    def before(self, stage: str) -> float:
        """Share done when `stage` begins, below 1; never less than at the stage that was asked before."""
        self._last = max(self._last, min(self._before.get(stage, self._last), 0.999))
        return self._last
