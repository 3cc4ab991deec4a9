"""One line of `audit.json`: a measured thing with its estimate, reference, rule and status.

Surprising: a number that does not exist is `None`, never NaN, and every status but `passed` must say why.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from expunge.audit.statistics import Interval

Status = Literal["passed", "failed", "inconclusive", "not_applicable", "not_run"]


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_finite)]
Bounds = tuple[Number, Number] | None


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ReferenceValue(_Frozen):
    """Whose value the estimate was compared with, for example `retrained` or `controls`."""

    role: str
    estimate: Number = None
    ci: Bounds = None


class Control(_Frozen):
    """A measurement that shows that the main one means something."""

    key: str
    estimate: Number = None
    ci: Bounds = None
    note: str = ""


class JudgedRule(_Frozen):
    """The rule that gave the status, and its margin."""

    id: str
    margin: Number = None


class Cost(_Frozen):
    """What the measurement took."""

    seconds: float = 0.0
    tokens: int = 0


class CheckResult(_Frozen):
    """One metric or attack on one model. `ValueError` for a status other than passed without a reason."""

    key: str
    status: Status
    reason: str = ""
    n_records: int = 0
    n_subjects: int = 0
    estimate: Number = None
    ci: Bounds = None
    ci_method: str = ""
    reference: ReferenceValue | None = None
    controls: tuple[Control, ...] = ()
    rule: JudgedRule | None = None
    p: Number = None
    p_holm: Number = None
    power: bool | None = None
    seed: int | None = None
    cost: Cost | None = None
    score_key: str | None = None

    @model_validator(mode="after")
    def _says_why(self) -> CheckResult:
        if self.status != "passed" and not self.reason:
            raise ValueError(f'entry "{self.key}" is {self.status} without a reason')
        return self

    @classmethod
    def measured(cls, key: str, status: Status, interval: Interval, reason: str = "", **more: Any) -> CheckResult:
        """An entry whose estimate, bounds and counts come from an interval."""
        return cls(
            key=key,
            status=status,
            reason=reason,
            n_records=interval.n_records,
            n_subjects=interval.n_subjects,
            estimate=interval.estimate,
            ci=bounds(interval),
            ci_method=interval.method,
            **more,
        )

    def as_json(self) -> dict[str, Any]:
        """JSON-ready, every field present, fields without a value None."""
        return self.model_dump(mode="json")


def bounds(interval: Interval) -> Bounds:
    """(low, high), or None where there is no interval."""
    return None if interval.low is None and interval.high is None else (interval.low, interval.high)
