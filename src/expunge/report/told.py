"""The reconstruction attack as the report reads it: first places by model, level of context and vector."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, FiniteFloat, model_validator

from expunge.audit.check_result import Bounds, Number


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ShareWithInterval(_Read):
    """A share of `n` questions; `ci` only where there are enough subjects."""

    estimate: Number = None
    ci: Bounds = None
    n: int = 0


class ReconstructionTableRow(_Read):
    """First places of one model at one level of context."""

    level: int
    vector: str
    model: str
    top1: ShareWithInterval


class ReconstructionTable(_Read):
    """All first places; `levels` by name, `chance` of one."""

    levels: tuple[str, ...]
    chance: FiniteFloat
    rows: tuple[ReconstructionTableRow, ...]

    @model_validator(mode="after")
    def _inside(self) -> ReconstructionTable:
        if not self.levels or any(not 0 <= row.level < len(self.levels) for row in self.rows):
            raise ValueError("every row needs one of the levels")
        return self
