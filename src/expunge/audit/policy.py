"""The policy: which measurements are required and by which margins they are judged, fixed before the run.

Surprising: it is data. The digest of its content stands in the plan, so a rule cannot be changed after the
result.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from expunge._io import digest
from expunge.audit.membership_scores import MEMBERSHIP
from expunge.audit.statistics import Bootstrap
from expunge.errors import InputError, nearest


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PolicyRule(_Frozen):
    """How one entry is judged, and whether the audit needs it. See `policies/default.yaml` for the judges.

    required  true; false; or `where_applicable`: needed unless the scope has no such records at all
    """

    judge: Literal["excess", "retention", "controls"]
    margin: float = Field(ge=0, le=1)
    required: bool | Literal["where_applicable"] = False


class Membership(_Frozen):
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


class MatchedControlsRule(_Frozen):
    """When the control rule replaces intervals over subjects, and its numbers."""

    below: int = Field(10, ge=2)
    controls: int = Field(40, ge=3)
    percentile: float = Field(95, gt=0, lt=100)
    over_range: tuple[float, float] = (2.5, 97.5)


class Resampling(_Frozen):
    """Bootstrap draws, two-sided level and seed."""

    draws: int = Field(2000, ge=100)
    level: float = Field(0.95, gt=0.5, lt=1)
    seed: int = Field(0, ge=0)


class Policy(_Frozen):
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
        try:
            text = Path(path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(str(path), f"could not be read ({error})", "give a YAML policy") from error
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, where: str = "policy") -> Policy:
        """A policy from YAML text; `where` names the source in errors."""
        try:
            data = yaml.safe_load(text)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = f"{where}:{mark.line + 1}" if mark else where
            raise InputError(line, f"not valid YAML ({getattr(error, 'problem', error)})") from error
        if not isinstance(data, dict):
            raise InputError(where, "is not a policy", "write `name:`, `version:` and `rules:`")
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise _as_input_error(error, where) from error


def needed(rules: Mapping[str, PolicyRule], status: Mapping[str, str]) -> tuple[str, ...]:
    """The keys that must pass in an audit with these statuses by key: without those that do not apply to its scope."""
    return tuple(
        key
        for key, rule in rules.items()
        if rule.required is True or (rule.required == "where_applicable" and status.get(key) != "not_applicable")
    )


_SECTIONS: dict[str, type[BaseModel]] = {
    "rules": PolicyRule,
    "membership": Membership,
    "few_subjects": MatchedControlsRule,
    "statistics": Resampling,
}


def _as_input_error(error: ValidationError, where: str) -> InputError:
    """One mistake of a policy as one line: a misspelt key before the missing one that it causes."""
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    path = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden":
        section = _SECTIONS.get(path[0], Policy) if len(path) > 1 else Policy
        return InputError(where, f'unknown key "{".".join(path)}"', nearest(path[-1], section.model_fields))
    if first["type"] == "missing":
        return InputError(where, f'the key "{".".join(path)}" is missing')
    return InputError(
        f"{where}: {'.'.join(path)}",
        first["msg"].removeprefix("Value error, "),
        "see the shipped policy for an example",
    )
