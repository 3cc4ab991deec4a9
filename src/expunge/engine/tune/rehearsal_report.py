"""What a rehearsal of one recipe reports: counts with exact intervals, and what they do not say. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import Field

from expunge._binomial import clopper_pearson
from expunge._config import FrozenModel
from expunge._io import read_object
from expunge._validation import validate

LEVEL = 0.95
HINT = "rehearse into another folder, or remove it"
LIMITS = (
    "This is one trial on other people's records. It does not say that the person of the request will be forgotten, "
    "nor which answers the real run will cost: the audit of that run does. The intervals take answers as independent, "
    "and answers about one person are not, so the truth may lie outside of them."
)


class RehearsalRate(FrozenModel):
    """So many of so many answers, with the Clopper-Pearson interval; no interval without an answer to count."""

    hits: int = Field(ge=0, description="answers that count")
    n: int = Field(ge=0, description="out of so many")
    low: float | None = Field(None, ge=0, le=1, description="lower bound of the rate, 95 % confidence")
    high: float | None = Field(None, ge=0, le=1, description="upper bound of the rate, 95 % confidence")

    @classmethod
    def of(cls, hits: int, n: int) -> Self:
        """The rate of `hits` in `n`."""
        low, high = clopper_pearson(hits, n, LEVEL) if n else (None, None)
        return cls(hits=hits, n=n, low=low, high=high)


class RehearsalReport(FrozenModel):
    """The content of `rehearsal.json`. It names nobody.

    Attributes:
        identity: Digest of everything that decides the numbers.
    """

    format: Literal["expunge-rehearsal/1"] = Field("expunge-rehearsal/1", description="version of this file")
    status: Literal["done", "not_possible"] = Field(description="not_possible: there is nobody to practise on")
    reason: str = Field("", max_length=400, description="why it was not possible")
    identity: str = Field(description="digest of everything that decides the numbers")
    recipe: str = Field("", description="digest of the recipe that was rehearsed")
    model: str = Field("", description="digest of the model that it started from")
    seed: str = Field(description="seed of the run and of the draw of stand-ins")
    stand_ins: int = Field(0, ge=0, description="other people who were forgotten for practice")
    records: int = Field(0, ge=0, description="their records")
    request_records: int = Field(0, ge=0, description="records that the request itself names")
    before: RehearsalRate | None = Field(None, description="their answers that the model gave word for word before")
    after: RehearsalRate | None = Field(None, description="the same answers afterwards")
    heldout: RehearsalRate | None = Field(
        None, description="answers of records that the run was not given: still right, of those that were right before"
    )
    retained: RehearsalRate | None = Field(
        None, description="the same of records that the run may use to keep the rest"
    )
    steps: int | None = Field(None, ge=0, description="steps of the run")
    seconds: float | None = Field(None, ge=0, description="seconds of the run, without the questions")
    limits: str = Field(LIMITS, description="what it does not say")


def load_report(file: Path) -> RehearsalReport:
    """The report in a file; `InputError` if it is gone or damaged."""
    return validate(RehearsalReport, read_object(file, HINT), str(file), HINT)


def kept_of(before: Sequence[bool], after: Sequence[bool]) -> RehearsalRate:
    """Answers that are still right, out of those that were right before; what became right does not count.

    Before (1, 1, 0, 1) and after (1, 0, 1, 1) are 2 of 3.
    """
    pairs = [now for was, now in zip(before, after, strict=True) if was]
    return RehearsalRate.of(sum(map(bool, pairs)), len(pairs))


def hits_of(answers: Sequence[bool]) -> RehearsalRate:
    """Answers that are right, out of all."""
    return RehearsalRate.of(sum(map(bool, answers)), len(answers))
