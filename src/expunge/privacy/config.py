"""The section `privacy` of a recipe.

`batch.forget` and `batch.retain` remain rows per step, on average: each unit is drawn by an independent coin, whose
probability follows from them unless a rate is given. At least one unit is drawn on average, so the only unit of a set
is in every step, with all its records.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from expunge._config import FrozenModel

Unit = Literal["subject", "record"]


class PrivacyConfig(FrozenModel):
    """Differentially private training of the adapter. Exactly one of `epsilon` and `noise` is set."""

    epsilon: float | None = Field(None, gt=0, description="privacy budget of the whole run; the noise is solved for it")
    delta: float | None = Field(None, gt=0, lt=1, description="null for min(1e-5, 1 / (10 units))")
    noise: float | None = Field(None, gt=0, description="noise multiplier: standard deviation of the noise over clip")
    clip: float = Field(1.0, gt=0, description="2-norm of one unit's gradient, at most")
    unit: Unit = Field("subject", description="unit of privacy: all records of a subject, or each record")
    records: int | None = Field(
        None, ge=1, description="records of a unit in one step, at most, drawn anew each step; null for all"
    )
    forget_rate: float | None = Field(
        None,
        gt=0,
        le=1,
        description="probability that a unit is in a forget step; "
        "null: batch.forget rows and at least one unit on average",
    )
    retain_rate: float | None = Field(None, gt=0, le=1, description="the same for retain steps and batch.retain")
    on_failure: Literal["refuse", "withhold"] = Field(
        "refuse", description="if the self-test fails: refuse to train, or train and withhold epsilon"
    )
    seed: int | None = Field(
        None,
        ge=0,
        description="seed of draws and noise, for tests: not private against who knows it; null: a secret seed",
    )
    paper_formula: bool = Field(
        False, description="noise by the formula printed in arXiv 2511.19498; gives no guarantee"
    )

    @model_validator(mode="after")
    def _epsilon_or_noise(self) -> PrivacyConfig:
        if (self.epsilon is None) == (self.noise is None):
            raise ValueError("give exactly one of epsilon and noise, and null for the other")
        if self.paper_formula and self.epsilon is None:
            raise ValueError("paper_formula computes the noise from epsilon: give epsilon, not noise")
        return self
