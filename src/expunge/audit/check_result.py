"""The result of a check: a measured value with its estimate, reference, rule and status.

A number that does not exist is `None`, never NaN, and every status but `passed` states its reason.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from expunge._config import FrozenModel
from expunge._summary import short_repr
from expunge.audit.statistics import Interval

Status = Literal["passed", "failed", "inconclusive", "not_applicable", "not_run"]
SINGLE_CASE = "single_case"  # the rule of a result whose failure by the margin was held against others
CASE, LIMIT = "by chance: value", "by chance: limit"  # keys of the controls of such a result
BY_CHANCE = 0.5  # two models that never met a person do not differ by more
OMITTED = "left out by the preset"  # how the reason of such a result begins


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_finite)]
Bounds = tuple[Number, Number] | None


class IntervalEstimate(FrozenModel):
    """An estimate with its interval."""

    estimate: Number = Field(None, description="the estimate; null where it does not exist")
    ci: Bounds = Field(None, description="bounds of the interval; null where there is none")

    @classmethod
    def of(cls, interval: Interval, **fields: Any) -> Self:
        """From an interval, with further fields of a subclass."""
        return cls(estimate=interval.estimate, ci=bounds(interval), **fields)


class ReferenceValue(IntervalEstimate):
    """The value that the estimate is compared with."""

    role: str = Field(description="whose value: original, retrained or controls")


class Control(IntervalEstimate):
    """A further measurement that helps to interpret the estimate."""

    key: str = Field(description="what was measured, for example retrained.exact_match")
    note: str = Field("", description="remark")


class JudgedRule(FrozenModel):
    """The rule that gave the status."""

    id: str = Field(
        description="excess, retention, matched_controls, or single_case: an excess above the margin that was held "
        "against what chance explains among others"
    )
    margin: Number = Field(None, description="margin, or percentile of the controls")

    @property
    def is_excess(self) -> bool:
        """The estimate is an excess over the reference."""
        return self.id in ("excess", SINGLE_CASE)


@short_repr("key", "status", "estimate", "n_records", "n_subjects")
class CheckResult(FrozenModel):
    """One judged item of an audit. `ValueError` for a status other than passed without a reason."""

    key: str = Field(description="key of the result, for example leakage.self")
    status: Status = Field(description="passed, failed, inconclusive, not_applicable or not_run")
    reason: str = Field("", description="the numbers behind the status; required unless passed")
    n_records: int = Field(0, description="records that count")
    n_subjects: int = Field(0, description="their subjects")
    estimate: Number = Field(None, description="the judged value")
    ci: Bounds = Field(None, description="its interval; null where there is none")
    ci_method: str = Field("", description="how the interval was made, or why there is none")
    reference: ReferenceValue | None = Field(None, description="what the estimate is compared with")
    controls: tuple[Control, ...] = Field((), description="further measurements")
    rule: JudgedRule | None = Field(None, description="the rule that gave the status")
    p: Number = Field(None, description="p-value of a rank test")
    power: bool | None = Field(None, description="the same test detects the target on the original model")
    seed: int | None = Field(None, description="seed of a randomized check")

    @model_validator(mode="after")
    def _states_reason(self) -> CheckResult:
        if self.status != "passed" and not self.reason:
            raise ValueError(f'result "{self.key}" is {self.status} without a reason')
        return self

    @property
    def is_omitted(self) -> bool:
        """The preset of the audit leaves it out."""
        return self.status == "not_run" and self.reason.startswith(OMITTED)

    @classmethod
    def measured(cls, key: str, status: Status, interval: Interval, reason: str = "", **more: Any) -> CheckResult:
        """A result whose estimate, bounds and counts come from an interval."""
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


def is_beyond_chance(result: CheckResult) -> bool:
    """Whether an excess over the retrained model is larger than any that others could explain."""
    beside = result.reference is not None and result.reference.role == "retrained"
    return beside and (result.estimate or 0.0) > BY_CHANCE


def bounds(interval: Interval) -> Bounds:
    """(low, high), or None where there is no interval."""
    return None if interval.low is None and interval.high is None else (interval.low, interval.high)
