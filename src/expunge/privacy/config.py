"""The section `privacy` of a recipe.

Surprising: `batch.forget` and `batch.retain` stay what they are everywhere, rows per step, but on average: who is in
a step is drawn by a coin per unit. The coin's probability follows from them unless a rate is given, and is such that
at least one unit is drawn on average: the only unit of a set is in every step, with all its records.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from expunge._config import FrozenModel

Unit = Literal["subject", "record"]


class PrivacyConfig(FrozenModel):
    """Differentially private training of the adapter; give `epsilon` or `noise`, not both."""

    epsilon: float | None = Field(None, gt=0, description="what the whole run may cost; the noise is solved for it")
    delta: float | None = Field(None, gt=0, lt=1, description="null for min(1e-5, 1 / (10 units))")
    noise: float | None = Field(None, gt=0, description="noise multiplier: standard deviation of the noise over clip")
    clip: float = Field(1.0, gt=0, description="most that one unit's gradient may weigh in a sum (2-norm)")
    unit: Unit = Field("subject", description="what is protected: all records of a person, or each record by itself")
    records: int | None = Field(None, ge=1, description="most records of a unit in one step, drawn anew; null for all")
    forget_rate: float | None = Field(
        None,
        gt=0,
        le=1,
        description="probability that a unit is in a forget step; "
        "null: as gives batch.forget rows, and one unit at least",
    )
    retain_rate: float | None = Field(None, gt=0, le=1, description="the same for retain steps and batch.retain")
    on_failure: Literal["refuse", "withhold"] = Field(
        "refuse", description="if the self-test fails: do not train, or train and state no epsilon"
    )
    seed: int | None = Field(
        None, ge=0, description="fixes draws and noise, for tests: not private against whoever knows it; null: secret"
    )
    paper_formula: bool = Field(False, description="noise as arXiv 2511.19498 prints it for epsilon; no guarantee")

    @model_validator(mode="after")
    def _one_of_two(self) -> PrivacyConfig:
        if (self.epsilon is None) == (self.noise is None):
            raise ValueError("give exactly one of epsilon and noise, and null for the other")
        if self.paper_formula and self.epsilon is None:
            raise ValueError("paper_formula makes its noise from epsilon: give epsilon, not noise")
        return self
