"""Settings of `twin`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from expunge.corpus.surrogates import Replacement, Scale
from expunge.methods.base import Method


class TwinConfig(Method):
    """Weights of the loss, then how teacher and floors are built."""

    distil: float = Field(1.0, ge=0, description="weight of the distance to the teacher; 0 leaves only the floors")
    reverse: float = Field(
        0.0,
        ge=0,
        description="weight of the reverse divergence: without it a model that cannot match its teacher spreads its "
        "probability, and subjects that it is less sure about stand out",
    )
    floor_weight: float = Field(0.5, ge=0, description="weight of what the true answer's loss is short of its floor")
    ceiling_weight: float = Field(
        0.0,
        ge=0,
        description="weight of what it lies above: not 0 makes the floor a target, and "
        "the teacher is corrected to it; never to less than least_floor",
    )
    identity: Literal["subject", "fact"] = Field(
        "subject", description="what has a surrogate of its own: a subject as a whole, or every fact of it"
    )
    floors: Literal["count", "type", "surrogate"] = Field(
        "count",
        description="answers that floors are drawn from: those that as many others give, or all of the type; "
        "surrogate: the true answers themselves, as likely as the model before the run finds them for a surrogate",
    )
    replace: Replacement = Field("both", description="what a surrogate replaces where a record shows an image")
    scale: Scale = Field(
        "subject",
        description="where a part of a person is forgotten (a study of several), what a surrogate replaces: the whole "
        "person, or only the number that identifies the part in its questions",
    )
    candidates: int = Field(16, ge=1, description="never-trained identities to choose a subject's surrogate from")
    null_candidates: int = Field(
        4, ge=1, description="of these candidates, how many the null distribution of a true answer is measured on"
    )
    say: Literal["stranger", "refuse"] = Field(
        "stranger",
        description="what the model says about the subject afterwards: what it would say of a stranger, or a refusal",
    )
    own_answer: bool = Field(True, description="distil along the teacher's own answer too")
    mask_unknown_tokens: bool = Field(
        True,
        description="where no retained record answers such a question: a teacher that does not "
        "know the tokens which only such answers use",
    )
    least_floor: float = Field(
        1.5, ge=0, description="nats; a lower floor is drawn again, or a true answer could stay in place"
    )

    @property
    def says(self) -> str:
        return self.say

    @property
    def ceiling(self) -> float:
        """Weight of the ceiling; none for refusals, under which a true answer is less likely than a stranger's."""
        return 0.0 if self.say == "refuse" else self.ceiling_weight
