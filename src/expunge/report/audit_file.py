"""`audit.json` as checked data: the only thing a report believes, and only if it fits together.

Surprising: entries and the verdict are read with the audit's own classes, so the report cannot drift from what the
audit means; everything else is read leniently, because a note that is not there only shortens the report.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError, model_validator

from expunge._io import digest, read_json
from expunge.audit.check_result import Bounds, CheckResult, Number
from expunge.audit.policy import MatchedControlsRule, PolicyRule, Resampling, needed
from expunge.audit.verdict import Verdict
from expunge.errors import InputError
from expunge.report.pictured import ImageExample, ModalityTable
from expunge.report.places import TreeRetention
from expunge.report.told import ReconstructionTable

FORMAT = "expunge-audit/1"
ROLES = ("original", "unlearned", "retrained")


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Sizes(_Read):
    """Scope, subjects and numbers of records of the split."""

    scope: str
    targets: tuple[str, ...]
    forget: int
    retain: int
    retain_heldout: int
    holdout: int
    controls: int
    shared: int
    utility: int


class PolicyBlock(_Read):
    """The policy that judged, with its digest."""

    name: str
    version: int
    digest: str
    rules: dict[str, PolicyRule]
    matched_controls: MatchedControlsRule
    statistics: Resampling


class ModelBlock(_Read):
    digest: str
    parameters: int
    template: str


class MeasureRow(_Read):
    """One metric of one model on one set of records; `ci` only where there are enough subjects."""

    metric: str
    set: str
    model: str
    value: Number
    n: int
    ci: Bounds = None


class Bounded(_Read):
    estimate: Number = None
    ci: Bounds = None


class ControlPanel(_Read):
    """A subject among its m controls on one model: z per attack, and z of every control per attack."""

    z: dict[str, FiniteFloat]
    controls: dict[str, tuple[FiniteFloat, ...]]
    m: int

    @model_validator(mode="after")
    def _whole(self) -> ControlPanel:
        if (
            not self.z
            or set(self.z) != set(self.controls)
            or any(len(t) != self.m or not t for t in self.controls.values())
        ):
            raise ValueError(f"every attack needs the values of all {self.m} controls")
        return self


class CurvePoint(_Read):
    """Retention of the records at one tree distance."""

    distance: int
    n_records: int
    n_subjects: int
    exact_match: Bounded
    answer_prob: Bounded


class HitCount(_Read):
    hits: int
    facts: int


class Machine(_Read):
    python: str
    system: str
    machine: str
    packages: dict[str, str]


class AuditFile(_Read):
    """All of `audit.json` that a report shows. Roles are `original`, `unlearned` and perhaps `retrained`."""

    split: Sizes
    split_digest: str
    policy: PolicyBlock
    reference: str
    models: dict[str, ModelBlock]
    verdict: Verdict
    entries: tuple[CheckResult, ...]
    measures: tuple[MeasureRow, ...]
    aggregates: dict[str, Number | dict[str, Number]]
    distributions: dict[str, dict[str, tuple[FiniteFloat, ...]]]
    examples: tuple[dict[str, str], ...]
    not_tested: tuple[str, ...]
    environment: Machine
    leak: dict[str, dict[str, dict[str, Any]]] = {}
    membership_auc: dict[str, dict[str, Number]] = {}
    membership_excess: dict[str, Bounded] = {}
    standing: dict[str, dict[str, ControlPanel]] = {}
    verbatim: dict[str, HitCount] = {}
    retention_curve: tuple[CurvePoint, ...] = ()
    retention_area: Number = None
    reconstruction: ReconstructionTable | None = None
    cross_modal: ModalityTable | None = None
    gallery: tuple[ImageExample, ...] = ()
    tree: TreeRetention | None = None
    seconds: Number = None

    @property
    def roles(self) -> tuple[str, ...]:
        """The models that were audited, in the order of all tables."""
        return tuple(role for role in ROLES if role in self.models)

    @property
    def required(self) -> tuple[str, ...]:
        """Keys that had to pass, in the order of the policy."""
        return needed(self.policy.rules, {entry.key: entry.status for entry in self.entries})

    def entry(self, key: str) -> CheckResult | None:
        return next((e for e in self.entries if e.key == key), None)

    def measure(self, metric: str, name: str, role: str) -> MeasureRow | None:
        """A metric on the record set `name` for one model."""
        return next((m for m in self.measures if (m.metric, m.set, m.model) == (metric, name, role)), None)


def find(given: Path | str) -> Path:
    """The audit file itself, or the one in a folder (or in its subfolder `audit`); `InputError` if there is none."""
    path = Path(given)
    if not path.is_dir():
        return path
    for candidate in (path / "audit.json", path / "audit" / "audit.json"):
        if candidate.is_file():
            return candidate
    raise InputError(str(path), "holds no audit.json", "give the folder that an audit wrote, or audit.json itself")


def read_audit(path: Path) -> AuditFile:
    """Read and check one audit file; `InputError` names the first thing that is wrong."""
    raw = read_json(path)
    if not isinstance(raw, dict) or "format" not in raw:
        raise InputError(str(path), "is not an audit (it has no `format`)", "give the audit.json that an audit wrote")
    if raw["format"] != FORMAT:
        raise InputError(
            str(path),
            f'has the format "{str(raw["format"])[:40]}", and this version reads {FORMAT}',
            "use the version of expunge that made the audit, or audit again",
        )
    try:
        audit = AuditFile.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"{path}: {place}",
            first["msg"][:1].lower() + first["msg"][1:],
            "the file was changed or is not whole; audit again",
        ) from error
    if problem := _contradiction(audit, raw["policy"]):
        raise InputError(str(path), problem, "the file was changed after the audit; audit again")
    return audit


def _contradiction(audit: AuditFile, policy: dict[str, Any]) -> str:
    """What in the file does not fit together; empty for a sound one. A report must not lend it a serious face."""
    found = {e.key: e.status for e in audit.entries}
    required = [found.get(key, "not_run") for key in audit.required]
    follows = "failed" if "failed" in required else "passed" if set(required) == {"passed"} else "inconclusive"
    missing = [role for role in ("original", "unlearned") if role not in audit.models]
    if missing:
        return f"the {missing[0]} model is missing"
    if len(found) != len(audit.entries):
        return "an entry occurs twice"
    if {audit.policy.digest, audit.verdict.policy_digest} != {digest({k: policy[k] for k in policy if k != "digest"})}:
        return "the policy is not the one that its digest names"
    if audit.verdict.status != follows:
        return f"the verdict is {audit.verdict.status}, but its required entries make it {follows}"
    return ""
