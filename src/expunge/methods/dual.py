"""Hierarchical dual strategy: project gradients and weigh tokens, each by concept level.

L1 is what every model should keep (basic biology), L4 what must be forgotten. The lower the level, the more of the
retain direction is removed from the gradient (alpha) and the less its tokens count (beta). L1 and L4 have the paper's
values, the levels between are interpolated; a concept hierarchy in the recipe brings its own. The rule `project` says
how to project, `selection` which parameters may follow the forget gradient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field, NonNegativeFloat, ValidationInfo, field_validator
from torch import Tensor

from expunge.corpus import Record
from expunge.errors import unknown
from expunge.methods.base import Method, ModelOutputs, Requirements, SaliencyPoint, SaliencyUnit, Sense, TokenWeights
from expunge.methods.bounded_losses import BoundedLoss, bounded
from expunge.methods.examples import TargetCost, Targets
from expunge.methods.ga import GA
from expunge.methods.twin import Twin
from expunge.models.language_model import LanguageModel

Level = Literal["L1", "L2", "L3", "L4"]
ALPHA: dict[Level, float] = {"L1": 1.0, "L2": 0.733, "L3": 0.467, "L4": 0.2}
BETA: dict[Level, float] = {"L1": 0.1, "L2": 0.4, "L3": 0.7, "L4": 1.0}


class Dual(Method, name="dual"):
    """Forgetting with weighted tokens, projected off the retain gradient by concept level.

    forget: as `npo`, clipped `ga`, `ihl`, `twin` or plain `ga`, each token's term times w_t     [B]
    """

    needs = Requirements(reference_logprobs=True, token_weights="gradient", levels=True)
    source = "arXiv 2511.19498, eq. 12 and 13"
    rule = "project"

    loss: BoundedLoss | Literal["twin", "ga"] = Field("npo", description="forget loss; ga is not bounded")
    npo_beta: float = Field(0.1, gt=0, description="beta of npo, where that is the loss")
    clip: float = Field(4.0, gt=0, description="largest token loss in nats, where ga_clip is the loss")
    twin: Twin = Field(Twin(), description="settings of twin, where that is the loss")
    token_weights: TokenWeights = Field(
        "gradient", description="saliency of tokens by gradient or attention, times beta; level: beta alone; or none"
    )
    raw_weights: bool = Field(False, description="saliency as printed: no floor, no limits, no normalization")
    saliency_point: SaliencyPoint = Field(
        "first_block",
        description="where gradients of tokens are taken: embedding, as printed, runs frozen blocks again in every "
        "step; first_block is the input of the first block that trains",
    )
    saliency_unit: SaliencyUnit = Field(
        "id",
        description="whose gradient makes a token's weight: id, the mean over all places of the vocabulary id, as "
        "printed; occurrence, that of this place in this answer, so that context counts",
    )
    sense: Sense = Field(
        "context",
        description="level of a token whose name has several in concepts.dictionary: that of its context (the names "
        "around it, and the record), or the highest",
    )
    level_by: Literal["record", "parameter"] = Field(
        "record", description="whose level sets alpha: the records of the batch, or of each tensor by Fisher"
    )
    alpha: dict[Level, NonNegativeFloat] = Field(
        ALPHA,
        validate_default=True,
        description="share of the retain direction taken out, by level; those left out keep the default",
    )
    beta: dict[Level, NonNegativeFloat] = Field(
        BETA, validate_default=True, description="mean token weight, by level; those left out keep the default"
    )

    @field_validator("alpha", "beta", mode="before")
    @classmethod
    def _fill(cls, value: Any, info: ValidationInfo) -> Any:
        default = ALPHA if info.field_name == "alpha" else BETA
        return {**default, **value} if isinstance(value, Mapping) else value

    @property
    def says(self) -> str:
        return self._inner.says

    @property
    def _inner(self) -> Method:
        if self.loss == "twin":
            return self.twin
        return GA() if self.loss == "ga" else bounded(self.loss, self.npo_beta, self.clip)

    def requirements(self) -> Requirements:
        return replace(
            self._inner.requirements(),
            token_weights=self.token_weights,
            raw_weights=self.raw_weights,
            saliency_point=self.saliency_point,
            saliency_unit=self.saliency_unit,
            sense=self.sense,
            levels=True,
            levels_by_parameter=self.level_by == "parameter",
        )

    def build_targets(
        self, lm: LanguageModel, forget: Sequence[Record], retain: Sequence[Record], seed: int
    ) -> Targets:
        return self._inner.build_targets(lm, forget, retain, seed)

    def target_cost(
        self, lm: LanguageModel, forget: Sequence[Record], retain: Sequence[Record], seed: int
    ) -> TargetCost:
        return self._inner.target_cost(lm, forget, retain, seed)

    def fallback(self, forget: Sequence[Record]) -> tuple[str, list[Record]]:
        return self._inner.fallback(forget)

    def forget_loss(self, out: ModelOutputs) -> Tensor:
        if self.token_weights != "none" and out.weights is None:
            raise ValueError(f'dual with these settings needs Requirements(token_weights="{self.token_weights}")')
        return self._inner.forget_loss(out)

    def projection(self, level: str | None) -> float:
        """alpha of this concept level; a record without a level counts as L4."""
        return _at(self.alpha, level)

    def token_factor(self, level: str | None) -> float:
        """beta of this concept level (L4 without one); 1 where tokens are not weighed."""
        return _at(self.beta, level) if self.token_weights != "none" else 1.0


def _at(values: Mapping[Level, float], level: str | None) -> float:
    for name, value in values.items():
        if name == (level or "L4"):
            return value
    raise unknown("concept level", level or "L4", values)
