"""What a check reads (record sets, scores by model and set, the policy), and what a check is.

A check is one file in `audit/checks`: a function from a `Context` to a `CheckOutput`, registered with the keys of its
results. A check that raises leaves those keys `not_run`; it never counts as passed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from inspect import cleandoc
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from expunge._config import FrozenModel
from expunge._registry import Registry
from expunge._summary import short_repr
from expunge.audit.check_result import CheckResult
from expunge.audit.control_groups import control_groups
from expunge.audit.metrics import METRICS
from expunge.audit.policy import Policy
from expunge.audit.preset import Preset
from expunge.audit.scores import Scores, Values
from expunge.audit.scoring import score
from expunge.corpus import Record
from expunge.models.language_model import LanguageModel
from expunge.scope.split import Split

Role = str  # original, unlearned or retrained


@dataclass(frozen=True)
class CheckOutput:
    """The judged results of a check, and further numbers for `audit.json`."""

    results: Sequence[CheckResult]
    details: FrozenModel | None = None


class Probe(Protocol):
    """Further questions of a check. Every model answers them while it is loaded for the record sets."""

    def score(self, lm: LanguageModel, role: Role, scores: Mapping[str, Scores]) -> Any:
        """What the check needs of this model; `scores` are its scores of the record sets."""


@short_repr("records", "options", "text")
@dataclass(frozen=True)
class RecordProbe:
    """The common probe: scores of further records."""

    records: Sequence[Record]
    options: bool = False
    text: bool = False

    def score(self, lm: LanguageModel, role: Role, scores: Mapping[str, Scores]) -> Scores:
        """The records scored by this model."""
        return score(lm, self.records, options=self.options, text=self.text)


@dataclass(frozen=True)
class CheckProfile:
    """What a reader must know of a check beside what it does.

    Attributes:
        title: What a passed check shows, in a line; its name where empty.
        family: surface, sampling, weights, white_box, membership, tree, or retention; empty for none of these.
        preset: The smallest preset that runs it.
        control: What it is compared with.
        cost: Its cost, for example in scoring passes over the forget set.
        limits: What a pass does not mean.
        source: Paper or design that it follows.
    """

    title: str = ""
    family: str = ""
    preset: Preset = "quick"
    control: str = ""
    cost: str = ""
    limits: str = ""
    source: str = ""


@dataclass(frozen=True)
class Check:
    """A registered check.

    Attributes:
        keys: Keys of the results that it gives.
        run: The judging function.
        make_probe: Chooses the extra questions from a context without scores; None where there are none to ask.
        profile: What it shows, control, cost and limits, for the reference page and the report.
    """

    keys: tuple[str, ...]
    run: Callable[[Context], CheckOutput]
    make_probe: Callable[[Context], Probe | None] | None = None
    profile: CheckProfile = CheckProfile()

    @property
    def description(self) -> str:
        """The docstring of the judging function."""
        return cleandoc(self.run.__doc__ or "")

    @property
    def about(self) -> str:
        """First line of the description."""
        return self.description.split("\n")[0]


CHECKS: Registry[Check] = Registry("check", "expunge.audit.checks")


def check(
    name: str, *keys: str, probe: Callable[[Context], Probe | None] | None = None, profile: CheckProfile | None = None
) -> Callable[[Callable[[Context], CheckOutput]], Check]:
    """Decorator: register a function as the check `name`.

    Args:
        name: Name in the registry; `Details` has a field of this name, else the details stand under `plugins`.
        keys: Keys of its results, by default the name.
        probe: Chooses the extra questions of the check; read their answers with `ctx.probe(name, role)`.
        profile: What it shows, its control, cost and limits.
    """
    return lambda run: CHECKS.add(name, Check(keys or (name,), run, probe, profile or CheckProfile()))


@short_repr("roles", "records", "scores", "probes")
@dataclass(frozen=True)
class Context:
    """One audit.

    Attributes:
        split: The record sets.
        policy: The policy that judges.
        roles: Audited models: original, unlearned and perhaps retrained.
        records: Every scored record by `row_id`.
        scores: Role to set to scores; see `record_sets` for the sets, of which a role may lack some.
        probes: Check to role to the answers of its probe, or to the exception that it raised.
        load: Loads a fresh model of a role, for checks that train.
        against: What the unlearned model is compared with, if the policy leaves a choice.
        parameters: Of the original model; large models are asked less. 0 sets no bound.
        identities: Role to a digest of the model and of how it is loaded; empty where that is not known.
    """

    split: Split
    policy: Policy
    roles: tuple[Role, ...]
    records: Mapping[str, Record]
    scores: Mapping[Role, Mapping[str, Scores]] = field(default_factory=lambda: MappingProxyType({}))
    probes: Mapping[str, Mapping[Role, Any]] = field(default_factory=lambda: MappingProxyType({}))
    load: Callable[[Role], LanguageModel] | None = None
    against: Role = ""
    parameters: int = 0
    identities: Mapping[Role, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def reference(self) -> Role:
        """`retrained`, or `controls`: matched controls on the unlearned model."""
        return self.against or ("retrained" if "retrained" in self.roles else "controls")

    @property
    def is_small_sample(self) -> bool:
        """True with fewer subjects than the policy requires for intervals over subjects."""
        return len(self.split.targets) < self.policy.matched_controls.below

    def affordable(self, share: float, least: int, most: int) -> int:
        """Records that cost `share` of the policy's `matched_controls.work`, within `least` and `most`."""
        if not self.parameters:
            return most
        return int(min(most, max(least, share * self.policy.matched_controls.work / self.parameters)))

    def fresh(self, role: Role) -> LanguageModel:
        """A newly loaded model that the check may train."""
        if self.load is None:
            raise ValueError("this context has no models")
        return self.load(role)

    def probe(self, check: str, role: Role) -> Any:
        """What `role` answered to the probe of a check; raises what the probe raised."""
        answers = self.probes[check][role]
        if isinstance(answers, Exception):
            raise answers
        return answers

    @cached_property
    def trained_wording(self) -> tuple[str, ...]:
        """Row ids of forget records in their trained wording."""
        return tuple(r.row_id for r in self.split.forget)

    def values(self, metric: str, role: Role, name: str, ids: Sequence[str] | None = None) -> Values:
        """Values [N] of a metric for a role and set, NaN where it does not apply."""
        scores = self.scores[role][name]
        return METRICS.get(metric)(scores.select(ids) if ids is not None else scores, self.records)

    def subjects(self, ids: Iterable[str]) -> list[str]:
        """The subject of each row id."""
        return [self.records[i].subject for i in ids]

    @cached_property
    def record_of_wording(self) -> dict[str, str]:
        """Row id of a wording of a forget record to the row id of that record."""
        return {w.row_id: r.row_id for r in self.split.forget for w in r.wordings()}

    def control_groups(self, target: str) -> dict[str, list[str]]:
        """Matched control of `target` to row ids of its records with the target's questions; see `control_groups`."""
        groups = control_groups(self.split.forget, self.split.controls, target)
        return {control: [r.row_id for r in rows] for control, rows in groups.items()}

    @cached_property
    def controls(self) -> tuple[str, ...]:
        """Row ids of all records in `control_groups`."""
        return tuple(i for target in self.split.targets for ids in self.control_groups(target).values() for i in ids)

    def margin(self, key: str, default: float) -> float:
        """The policy's margin of a result, or the default where the policy has no rule for it."""
        rule = self.policy.rules.get(key)
        return rule.margin if rule else default


def mean(values: Values) -> float:
    """Mean over what applies; NaN if nothing does."""
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
