"""The policy: which measurements are required and by which margins they are judged, fixed before the run.

Surprising: it is data. The digest of its content stands in the plan, so a rule cannot be changed after the
result.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from expunge._config import FrozenModel, load_yaml, read_text, validate
from expunge._io import digest
from expunge.audit.membership_scores import MEMBERSHIP
from expunge.audit.statistics import Bootstrap
from expunge.errors import nearest


class PolicyRule(FrozenModel):
    """How one entry is judged, and whether the audit needs it. See `policies/default.yaml` for the judges.

    required  true; false; or `where_applicable`: needed unless the scope has no such records at all
    """

    judge: Literal["excess", "retention", "controls"]
    margin: float = Field(ge=0, le=1)
    required: bool | Literal["where_applicable"] = False


class Membership(FrozenModel):
    """Membership scores that count, and the band around .5 that the calibration probe must meet."""

    scores: tuple[str, ...] = Field(("loss", "entropy"), min_length=1)
    calibration: tuple[float, float] = (0.45, 0.55)

    @field_validator("scores")
    @classmethod
    def _known(cls, scores: tuple[str, ...]) -> tuple[str, ...]:
        for name in scores:
            if name not in MEMBERSHIP:
                raise ValueError(f'unknown score "{name}"; {nearest(name, MEMBERSHIP)}')
        return scores


class MatchedControlsRule(FrozenModel):
    """When the control rule replaces intervals over subjects, and its numbers."""

    below: int = Field(10, ge=2)
    controls: int = Field(40, ge=3)
    percentile: float = Field(95, gt=0, lt=100)
    over_range: tuple[float, float] = (2.5, 97.5)


class Resampling(FrozenModel):
    """Bootstrap draws, two-sided level and seed."""

    draws: int = Field(2000, ge=100)
    level: float = Field(0.95, gt=0.5, lt=1)
    seed: int = Field(0, ge=0)


class Policy(FrozenModel):
    """Everything that decides a verdict and is not measured."""

    name: str
    version: int
    rules: dict[str, PolicyRule]
    membership: Membership = Membership()
    few_subjects: MatchedControlsRule = MatchedControlsRule()
    statistics: Resampling = Resampling()
    known_margin: float = Field(0.05, ge=0, le=1)
    attack_seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1)

    @field_validator("rules")
    @classmethod
    def _something_required(cls, rules: dict[str, PolicyRule]) -> dict[str, PolicyRule]:
        if not any(rule.required for rule in rules.values()):
            raise ValueError("no rule is required, so every audit would pass")
        return rules

    @property
    def required(self) -> tuple[str, ...]:
        """Keys of the entries that must pass, in the order of the policy."""
        return tuple(key for key, rule in self.rules.items() if rule.required)

    @property
    def digest(self) -> str:
        """SHA-256 of the content; independent of the order and formatting of the file."""
        return digest(self.model_dump(mode="json"))

    @property
    def bootstrap(self) -> Bootstrap:
        """The plan for every interval of the audit."""
        s = self.statistics
        return Bootstrap(draws=s.draws, level=s.level, seed=s.seed, min_subjects=self.few_subjects.below)

    @classmethod
    def load(cls, path: Path | str | None = None) -> Policy:
        """Read a YAML policy, by default the shipped one; `InputError` names a wrong key and the nearest."""
        if path is None:
            shipped = files("expunge.audit").joinpath("policies/default.yaml")
            return cls.parse(shipped.read_text("utf-8"), "default")
        return cls.parse(read_text(Path(path)), str(path))

    @classmethod
    def parse(cls, text: str, where: str = "policy") -> Policy:
        """A policy from YAML text; `where` names the source in errors."""
        hint = "write `name:`, `version:` and `rules:`, as in the shipped policy"
        return validate(cls, load_yaml(text, where, hint), where, hint)


def needed(rules: Mapping[str, PolicyRule], status: Mapping[str, str]) -> tuple[str, ...]:
    """The keys that must pass in an audit with these statuses by key: without those that do not apply to its scope."""
    return tuple(
        key
        for key, rule in rules.items()
        if rule.required is True or (rule.required == "where_applicable" and status.get(key) != "not_applicable")
    )
