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

from expunge.audit.entry import Entry
from expunge.audit.metrics import METRICS
from expunge.audit.policy import Policy
from expunge.audit.scores import Scores, Values
from expunge.corpus import Record
from expunge.models.language_model import LanguageModel
from expunge.registry import Registry
from expunge.scope.split import Split

Role = str  # original, unlearned, retrained
Ask = Callable[[LanguageModel, Sequence[Record]], Scores]


@dataclass(frozen=True)
class Measurement:
    """An attack or measure: `keys` it answers for, and how it makes their entries."""

    keys: tuple[str, ...]
    about: str
    run: Callable[[Context], Iterable[Entry]]


ATTACKS: Registry[Measurement] = Registry("attack", "expunge.audit.attacks")


def attack(name: str, *keys: str) -> Callable[[Callable[[Context], Iterable[Entry]]], Measurement]:
    """Decorator: register a function as the measurement `name`, answering for `keys` (default: the name)."""
    def register(run: Callable[[Context], Iterable[Entry]]) -> Measurement:
        about = (run.__doc__ or "").strip().split("\n")[0]
        return ATTACKS.add(name, Measurement(keys or (name,), about, run))

    return register


@dataclass(frozen=True)
class Context:
    """One audit. `scores[role][set]`: sets are forget (all wordings), untouched, shared, holdout, twins.

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
        """`retrained` where there is one, else `twins`: never-trained people on the unlearned model itself."""
        return "retrained" if "retrained" in self.scores else "twins"

    @property
    def few(self) -> bool:
        """The few-subjects rule holds: fewer data subjects than the policy wants for intervals."""
        return len(self.split.targets) < self.policy.few_subjects.below

    @cached_property
    def trained_wording(self) -> tuple[str, ...]:
        """Ids of forget records in their trained wording."""
        return tuple(r.id for r in self.split.forget)

    def values(self, metric: str, role: Role, name: str, ids: Sequence[str] | None = None) -> Values:
        """Per-record values [N] of a metric for a role and set, NaN where it does not apply."""
        scores = self.scores[role][name]
        return METRICS.get(metric)(scores.select(ids) if ids is not None else scores, self.records)

    def subjects(self, ids: Iterable[str]) -> list[str]:
        return [self.records[i].subject for i in ids]

    def twin_groups(self, target: str) -> dict[str, list[str]]:
        """Twin of `target` → its record ids."""
        groups: dict[str, list[str]] = {}
        for r in self.split.twins:
            if r.attributes.get("twin_of") == target:
                groups.setdefault(r.subject, []).append(r.id)
        return groups


def mean(values: Values) -> float:
    """Mean over what applies; NaN if nothing does."""
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
