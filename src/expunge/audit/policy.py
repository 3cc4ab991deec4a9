"""The policy: which results are required and by which margins they are judged, fixed before the audit.

A policy is YAML data; `audit.json` holds it together with its digest, so that a later change of a rule shows. Three
are shipped. A changed copy of one of them does not keep its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from expunge._config import FrozenModel, find_yaml, shipped_names
from expunge._io import digest
from expunge._validation import validate
from expunge._yaml import load_yaml
from expunge.audit.membership_scores import MEMBERSHIP
from expunge.audit.statistics import Bootstrap
from expunge.errors import nearest

FOLDER = files("expunge.audit") / "policies"
FORMER_NAMES = ("default",)  # of shipped policies
HINT = "write `name:`, `version:` and `rules:`, as in the shipped policies"


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
    percentile: float = Field(
        95,
        gt=0,
        lt=100,
        description="percentile of the controls that a subject passes up to; it fails where all required checks "
        "together exceed chance more rarely than one exceeds this",
    )
    work: float = Field(
        6.4e10,
        gt=0,
        description="parameters x control records of a subject that are scored; at least 8 of each control",
    )
    over_range: tuple[float, float] = Field(
        (2.5, 97.5), description="percentiles of the controls outside of which a subject counts as over-unlearned"
    )


class RelearningRule(FrozenModel):
    """How relearning is compared with controls."""

    controls: int = Field(8, ge=3, description="matched controls that are taught, each on a copy of its own")
    test_records: int = Field(16, ge=1, description="most records of each control that are asked afterwards")


class Resampling(FrozenModel):
    """The bootstrap over subjects."""

    draws: int = Field(2000, ge=100, le=1_000_000, description="resamples")
    level: float = Field(0.95, gt=0.5, lt=1, description="two-sided level of the intervals")
    seed: int = Field(0, ge=0, description="seed of the resamples")


class Policy(FrozenModel):
    """Everything that decides a verdict and is not measured."""

    name: str = Field(description="name of the policy")
    version: int = Field(description="version of the policy")
    about: str = Field("", description="what the policy is for, in a line")
    reference: Literal["auto", "retrained", "controls", "both"] = Field(
        "auto",
        description="what the unlearned model is compared with: a retrained model, matched controls, or both, of which "
        "the worse counts; auto: the retrained model where there is one",
    )
    intervals: bool = Field(False, description="excess and retention without an interval are inconclusive")
    rules: dict[str, PolicyRule] = Field(description="rule by key of the result")
    membership: MembershipRule = Field(MembershipRule(), description="membership scores")
    matched_controls: MatchedControlsRule = Field(MatchedControlsRule(), description="rule for small samples")
    relearning: RelearningRule = Field(RelearningRule(), description="relearning of controls")
    statistics: Resampling = Field(Resampling(), description="bootstrap over subjects")
    known_margin: float = Field(
        0.05, ge=0, le=1, description="the original model knows a fact if it exceeds the reference by more than this"
    )
    yardstick_margin: float = Field(
        0.10,
        ge=0,
        le=1,
        description="a retrained model knows at most this share of retained records less than the original",
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
    def omits(self) -> tuple[str, ...]:
        """What no required rule judges, of forgetting and retention."""
        judges = {self.rules[key].judge for key in self.required}
        forgetting, retention = not judges & {"excess", "controls"}, "retention" not in judges
        return ("forgetting",) * forgetting + ("retention",) * retention

    @property
    def digest(self) -> str:
        """SHA-256 of the content; independent of the order and formatting of the file."""
        return digest(self.model_dump(mode="json"))

    @property
    def joint_level(self) -> float:
        """Of each required test of forgetting, so that all of them together exceed the percentile no more often than
        one does (Bonferroni)."""
        tests = sum(self.rules[key].judge != "retention" for key in self.required)
        return (1 - self.matched_controls.percentile / 100) / max(1, tests)

    @property
    def bootstrap(self) -> Bootstrap:
        """How every interval of the audit is resampled."""
        s = self.statistics
        return Bootstrap(draws=s.draws, level=s.level, seed=s.seed, min_subjects=self.matched_controls.below)

    @property
    def needs_retrained(self) -> bool:
        """True where no audit by this policy is possible without a retrained model."""
        return self.reference in ("retrained", "both")

    @classmethod
    def load(cls, source: Path | str = "with-retrained") -> Policy:
        """A shipped policy by its name, or one from a YAML file.

        A file that has the name of a shipped policy and other content is called `<file> (not shipped)`.

        Raises:
            InputError: no such policy or file, a wrong key (the nearest is named), or a wrong value.
        """
        text, folder, where = find_yaml(source, "policy", FOLDER)
        return cls.parse(text, where).with_own_name(f"{Path(source).name} (not shipped)" if folder else "")

    @classmethod
    def parse(cls, text: str, where: str = "policy") -> Policy:
        """A policy from YAML text; `where` names the source in errors."""
        return validate(cls, load_yaml(text, where, HINT), where, HINT)

    def with_own_name(self, name: str = "") -> Policy:
        """This policy, called `name` if it has the name of a shipped one but not its content."""
        if self.name not in (*shipped_policies(), *FORMER_NAMES):
            return self
        if self.name in shipped_policies() and self == _shipped(self.name):
            return self
        return self.model_copy(update={"name": name or f"{self.name} (changed, not shipped)"})


def default_policy(retrained: bool) -> Policy:
    """The shipped policy of an audit with or without a retrained model."""
    return _shipped("with-retrained" if retrained else "controls-only")


@cache
def shipped_policies() -> tuple[str, ...]:
    """Names of the shipped policies, sorted."""
    return tuple(shipped_names(FOLDER))


@cache
def _shipped(name: str) -> Policy:
    return Policy.parse((FOLDER / f"{name}.yaml").read_text("utf-8"), name)


def needed(rules: Mapping[str, PolicyRule], status: Mapping[str, str]) -> tuple[str, ...]:
    """The keys that must pass in an audit with these statuses by key: without those that do not apply to its scope.

    Rules of retention are not all left out: where none applies, all are needed, since nothing then tells a ruined model
    from one that forgot.
    """
    required = {key: rule for key, rule in rules.items() if rule.required}
    keys = [k for k, r in required.items() if r.required is True or status.get(k) != "not_applicable"]
    retention = [key for key, rule in required.items() if rule.judge == "retention"]
    return tuple(key for key in required if key in keys or (key in retention and not set(keys) & set(retention)))
