"""The policy: which results are required and by which margins they are judged, fixed before the audit.

A policy is YAML data; `audit.json` holds it together with its digest, so that a later change of a rule shows.
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
    """How one result is judged, and whether the audit needs it."""

    judge: Literal["excess", "retention", "controls"] = Field(
        description="excess over the reference, retention of the original, or rank among matched controls"
    )
    margin: float = Field(ge=0, le=1, description="largest excess, or smallest retention, that passes")
    required: bool | Literal["where_applicable"] = Field(
        False, description="true, false, or where_applicable: required unless the scope has no such records"
    )


class MembershipRule(FrozenModel):
    """Which membership scores count."""

    scores: tuple[str, ...] = Field(("loss", "entropy"), min_length=1, description="scores; the worst decides")
    calibration: tuple[float, float] = Field(
        (0.45, 0.55), description="band that the AUC of two untrained sets must meet before membership is judged"
    )

    @field_validator("scores")
    @classmethod
    def _known(cls, scores: tuple[str, ...]) -> tuple[str, ...]:
        for name in scores:
            if name not in MEMBERSHIP:
                raise ValueError(f'unknown score "{name}"; {nearest(name, MEMBERSHIP)}')
        return scores


class MatchedControlsRule(FrozenModel):
    """The rule for small samples: ranks among matched controls in place of intervals over subjects."""

    below: int = Field(10, ge=2, description="number of subjects below which the rule holds")
    controls: int = Field(40, ge=3, description="controls that each subject needs")
    percentile: float = Field(95, gt=0, lt=100, description="percentile of the controls that fails a subject above it")
    over_range: tuple[float, float] = Field(
        (2.5, 97.5), description="percentiles of the controls outside of which a subject counts as over-unlearned"
    )


class Resampling(FrozenModel):
    """The bootstrap over subjects."""

    draws: int = Field(2000, ge=100, description="resamples")
    level: float = Field(0.95, gt=0.5, lt=1, description="two-sided level of the intervals")
    seed: int = Field(0, ge=0, description="seed of the resamples")


class Policy(FrozenModel):
    """Everything that decides a verdict and is not measured."""

    name: str = Field(description="name of the policy")
    version: int = Field(description="version of the policy")
    rules: dict[str, PolicyRule] = Field(description="rule by key of the result")
    membership: MembershipRule = Field(MembershipRule(), description="membership scores")
    matched_controls: MatchedControlsRule = Field(MatchedControlsRule(), description="rule for small samples")
    statistics: Resampling = Field(Resampling(), description="bootstrap over subjects")
    known_margin: float = Field(
        0.05, ge=0, le=1, description="the original model knows a fact if it exceeds the reference by more than this"
    )
    attack_seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1, description="seeds of randomized checks")

    @field_validator("rules")
    @classmethod
    def _something_required(cls, rules: dict[str, PolicyRule]) -> dict[str, PolicyRule]:
        if not any(rule.required for rule in rules.values()):
            raise ValueError("no rule is required, so every audit would pass")
        return rules

    @property
    def required(self) -> tuple[str, ...]:
        """Keys of the results that must pass, in the order of the policy."""
        return tuple(key for key, rule in self.rules.items() if rule.required)

    @property
    def digest(self) -> str:
        """SHA-256 of the content; independent of the order and formatting of the file."""
        return digest(self.model_dump(mode="json"))

    @property
    def bootstrap(self) -> Bootstrap:
        """How every interval of the audit is resampled."""
        s = self.statistics
        return Bootstrap(draws=s.draws, level=s.level, seed=s.seed, min_subjects=self.matched_controls.below)

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
