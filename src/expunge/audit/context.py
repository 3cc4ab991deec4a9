"""What every measurement of an audit can look at: record sets, scores by model and set, the policy.

A measurement is one file in `audit/attacks`: a function from a `Context` to entries, registered with the keys it
is responsible for. If it raises, those keys become `not_run`: a failed attack is never counted as passed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from expunge._registry import Registry
from expunge.audit.check_result import CheckResult
from expunge.audit.metrics import METRICS
from expunge.audit.policy import Policy
from expunge.audit.scores import Scores, Values
from expunge.corpus import Record
from expunge.corpus.surrogate_names import prompt_template_of
from expunge.models.language_model import LanguageModel
from expunge.scope.split import Split

Role = str  # original, unlearned, retrained
Ask = Callable[[LanguageModel, Sequence[Record]], Scores]


@dataclass(frozen=True)
class Check:
    """An attack or measure: `keys` it answers for, and how it makes their entries."""

    keys: tuple[str, ...]
    about: str
    run: Callable[[Context], Iterable[CheckResult]]


CHECKS: Registry[Check] = Registry("attack", "expunge.audit.checks")


def check(name: str, *keys: str) -> Callable[[Callable[[Context], Iterable[CheckResult]]], Check]:
    """Decorator: register a function as the measurement `name`, answering for `keys` (default: the name)."""

    def register(run: Callable[[Context], Iterable[CheckResult]]) -> Check:
        about = (run.__doc__ or "").strip().split("\n")[0]
        return CHECKS.add(name, Check(keys or (name,), about, run))

    return register


@dataclass(frozen=True)
class Context:
    """One audit. `scores[role][set]`: sets are forget (all wordings), retain_heldout, shared, holdout, controls.

    load   a fresh model of a role, for attacks that train
    notes  numbers for the report that are no entries, filled in by measurements
    """

    split: Split
    policy: Policy
    scores: Mapping[Role, Mapping[str, Scores]]
    records: Mapping[str, Record]
    load: Callable[[Role], LanguageModel]
    ask: Ask
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def roles(self) -> tuple[Role, ...]:
        return tuple(self.scores)

    @property
    def reference(self) -> Role:
        """`retrained` where there is one, else `controls`: never-trained people on the unlearned model itself."""
        return "retrained" if "retrained" in self.scores else "controls"

    @property
    def few(self) -> bool:
        """The few-subjects rule holds: fewer data subjects than the policy wants for intervals."""
        return len(self.split.targets) < self.policy.few_subjects.below

    @cached_property
    def trained_wording(self) -> tuple[str, ...]:
        """Ids of forget records in their trained wording."""
        return tuple(r.row_id for r in self.split.forget)

    def values(self, metric: str, role: Role, name: str, ids: Sequence[str] | None = None) -> Values:
        """Per-record values [N] of a metric for a role and set, NaN where it does not apply."""
        scores = self.scores[role][name]
        return METRICS.get(metric)(scores.select(ids) if ids is not None else scores, self.records)

    def subjects(self, ids: Iterable[str]) -> list[str]:
        return [self.records[i].subject for i in ids]

    @cached_property
    def owner(self) -> dict[str, str]:
        """Wording of a forget record → id of that record."""
        return {w.row_id: r.row_id for r in self.split.forget for w in r.wordings()}

    def control_groups(self, target: str) -> dict[str, list[str]]:
        """Control of `target` → ids of its records that ask what the target's forget records ask.

        Where none of a control's records does (prompts that name nobody by an identifier), all of them count.
        """
        asked = {_question(r) for r in self.split.forget if r.subject == target}
        groups: dict[str, list[Record]] = {}
        for r in self.split.controls:
            if r.attributes.get("control_of") == target:
                groups.setdefault(r.subject, []).append(r)
        same = {control: [r for r in rows if _question(r) in asked] for control, rows in groups.items()}
        return {control: [r.row_id for r in same[control] or rows] for control, rows in groups.items()}

    @cached_property
    def controls(self) -> tuple[str, ...]:
        """Ids of all control records that `control_groups` lets count."""
        return tuple(i for target in self.split.targets for ids in self.control_groups(target).values() for i in ids)

    def margin(self, key: str, default: float) -> float:
        """The policy's margin of an entry, or the default of one that the policy does not name."""
        rule = self.policy.rules.get(key)
        return rule.margin if rule else default


def _question(record: Record) -> tuple[str, str]:
    return record.kind, prompt_template_of(record)


def mean(values: Values) -> float:
    """Mean over what applies; NaN if nothing does."""
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
