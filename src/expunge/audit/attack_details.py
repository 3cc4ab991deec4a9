"""What an attack reports in `audit.json` beside its result."""

from __future__ import annotations

from pydantic import Field

from expunge._config import FrozenModel
from expunge.audit.check_result import IntervalEstimate, Number


class AttackPoint(FrozenModel):
    """A rate of a curve, for example after so many training steps or behind so many blocks."""

    x: Number = Field(description="place on the axis of the curve")
    rate: Number = Field(description="mean rate there")


class AttackDetails(FrozenModel):
    """Details of an attack: rates by form of the question, and curves where a strength is varied."""

    title: str = Field("", description="what a pass shows, in a line")
    family: str = Field("", description="surface, sampling, weights, white_box, membership or tree")
    limits: str = Field("", description="what a pass does not mean")
    rates: dict[str, dict[str, IntervalEstimate]] = Field(
        description="by model, and by `controls` on the unlearned model: form of the attack to its rate"
    )
    n: dict[str, int] = Field(description="attacked records by form")
    n_controls: int = Field(0, description="control records that were attacked in the same way")
    axis: str = Field("", description="what is varied along the curves; empty without curves")
    curves: dict[str, tuple[AttackPoint, ...]] = Field({}, description="by model, and by `controls`: the curve")
    seconds: dict[str, Number] = Field({}, description="duration of the attack by model")
    notes: dict[str, str] = Field({}, description="what else it brought out, by model, and by `controls`")
