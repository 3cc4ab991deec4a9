"""The tree around the target as the report reads it: the way down to it, and retention at each place beside it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from expunge.audit.check_result import Bounds, Number


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class RetentionValue(_Read):
    """Retention, 1 = as before; no estimate where the original model knew nothing there."""

    estimate: Number = None
    ci: Bounds = None


class TreeStep(_Read):
    """A level on the way from the root to the target; without a name where several nodes stand at it."""

    level: str
    name: str = ""
    count: int = Field(1, ge=1)


class TreeNodeRetention(_Read):
    """Untouched records at one place: the branch leaves the way at depth `branch` and ends at `depth`."""

    relation: str
    branch: int = Field(ge=0, le=50)
    depth: int = Field(ge=0, le=100)
    distance: int | None = None
    kept: RetentionValue
    n_records: int
    n_subjects: int


class TreeRetention(_Read):
    """The whole of it; the last step of the way is the target."""

    way: tuple[TreeStep, ...] = Field(min_length=1, max_length=50)
    targets: int = Field(ge=1)
    places: tuple[TreeNodeRetention, ...]
