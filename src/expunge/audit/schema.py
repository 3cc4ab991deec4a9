"""The schema of `audit.json`: the runner fills these models; report, command line and benchmarks read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, FiniteFloat

from expunge._config import FrozenModel
from expunge._io import digest, read_json
from expunge._summary import short_repr
from expunge._validation import validate
from expunge.audit.audit_attempts import AuditAttempt
from expunge.audit.check_result import Bounds, CheckResult, Number
from expunge.audit.details import AnswerExample, Details, ImageExample
from expunge.audit.policy import Policy, needed
from expunge.audit.preset import Preset
from expunge.audit.subject_rows import SubjectVerdict
from expunge.audit.verdict import Verdict, same_outcome, verdict
from expunge.errors import InputError

SCHEMA_VERSION: Literal[3] = 3  # changes with every field; version 1 had no models and was marked `expunge-audit/1`
AGAIN = "the file was changed or is not complete; remove it and audit again"
ROLES = ("original", "unlearned", "retrained")
NOTICE = (
    "This file holds personal data: names of the subjects, questions about them, true answers and what the models say. "
    "Only people who work on the request should be able to read it. Delete it when the evidence is no longer needed. "
    "`expunge report --redact` writes a copy without names and answers."
)


@short_repr("targets", "forget", "retain", "retain_heldout", "controls")
class SplitSummary(FrozenModel):
    """Scope, subjects and sizes of the record sets."""

    scope: str = Field(description="the scope expression")
    targets: tuple[str, ...] = Field(description="subjects to be forgotten, sorted")
    forget: int = Field(description="records to be forgotten")
    retain: int = Field(description="records given to the method as what must stay")
    retain_heldout: int = Field(description="retain records that no method is given; basis of retention")
    holdout: int = Field(description="records of the same distribution that no model was trained on")
    controls: int = Field(description="records of matched controls, never trained")
    shared: int = Field(description="records of the target whose facts have a surviving owner")
    utility: int = Field(description="questions on general ability")
    near_duplicates: int = Field(0, description="trained records outside the scope that repeat one to forget")
    near: Literal["take", "report", "ignore"] = Field(
        "report", description="what became of these: take (forgotten too), report or ignore (retained)"
    )
    is_earlier: bool = Field(
        False, exclude_if=lambda value: not value, description="a run before the audited one forgot these records"
    )


class AuditedModel(FrozenModel):
    """One audited model."""

    name: str = Field("", description="name of its folder or hub id")
    digest: str = Field(description="SHA-256 over its weights (tensor by tensor), configuration and tokenizer")
    parameters: int = Field(description="number of parameters")
    template: str = Field(description="prompt template: plain or chat")


class Assurance(FrozenModel):
    """How far the comparison reaches."""

    level: Literal["L1", "L2", "L3"] = Field(
        description="L1 against controls, L2 against a retrained model, L3 exact: trained without the records"
    )
    title: str = Field(description="the level in words")
    can_say: str = Field(description="what a passed audit of this level says")
    cannot_say: str = Field(description="what no audit of this level says")


class Redaction(FrozenModel):
    """What a copy without names and answers leaves out."""

    full_digest: str = Field(description="SHA-256 of the file of the full audit")
    removed: tuple[str, ...] = Field(description="what was left out")


class KnownShare(FrozenModel):
    """What the original model knew of a record set before the run, in the trained wording."""

    n: int = Field(description="records that were asked")
    by_text: float = Field(description="share of answers that its greedy text gives")
    by_tokens: float = Field(description="share of answers of which every token is the most probable one")


class Measure(FrozenModel):
    """One metric of one model on one record set."""

    metric: str = Field(description="key of the metric")
    set: str = Field(description="record set; `rephrased` holds the untrained wordings of the forget set")
    model: str = Field(description="model")
    value: Number = Field(description="mean, or the pooled value of a pooled metric")
    n: int = Field(description="records the metric applies to")
    ci: Bounds = Field(None, description="bootstrap interval over subjects; null for pooled metrics and few subjects")


class Environment(FrozenModel):
    """Versions that a reader needs to repeat the audit."""

    python: str = Field(description="Python version")
    system: str = Field(description="operating system")
    machine: str = Field(description="processor architecture")
    packages: dict[str, str] = Field(description="versions of the libraries")


@short_repr("verdict.status", "policy.name", "reference", "models", "results", "seconds")
class AuditFile(FrozenModel):
    """The content of `audit.json`. Models are `original`, `unlearned` and, where given, `retrained`."""

    schema_version: Literal[3] = Field(SCHEMA_VERSION, description="version of this schema")
    notice: str = Field("", description="that the file holds personal data, and who should be able to read it")
    redaction: Redaction | None = Field(None, description="what this copy leaves out; null for a full audit")
    created: str = Field("", description="when the audit was made: ISO 8601, UTC")
    data: str = Field("", description="file name of the records")
    split: SplitSummary = Field(description="what was audited")
    split_digest: str = Field(description="SHA-256 of the split")
    training_digest: str = Field("", description="SHA-256 over the sets of the split that decide a run")
    preset: Preset = Field("default", description="how much was tested: quick, default or full")
    plan_digest: str = Field("", description="digest of plan.json, which was written before anything was scored")
    attempts: tuple[AuditAttempt, ...] = Field(
        (), description="audits of this scope and original model that are known, this one among them"
    )
    policy: Policy = Field(description="the policy that judged, complete")
    policy_digest: str = Field(description="SHA-256 of the policy")
    reference: str = Field(description="`retrained`, or `controls`: matched controls on the unlearned model")
    assurance: Assurance | None = Field(None, description="how far the comparison reaches")
    known: dict[str, KnownShare] = Field({}, description="what the original knew: `forget` and `retained`")
    yardstick: str = Field("", description="what the retrained model knows of the retained records, in a line")
    control_records: dict[str, int] = Field({}, description="control records: `scored` of all that the split `has`")
    models: dict[str, AuditedModel] = Field(description="audited models by role")
    score_files: dict[str, str] = Field({}, description="SHA-256 of each file of scores by its name")
    verdict: Verdict = Field(description="the verdict by the policy")
    results: tuple[CheckResult, ...] = Field(description="judged results of all checks")
    subjects: tuple[SubjectVerdict, ...] = Field((), description="verdict of each subject, at most 200")
    details: Details = Field(default_factory=Details, description="further numbers of the checks")
    measures: tuple[Measure, ...] = Field((), description="every metric on every record set for every model")
    aggregates: dict[str, Number | dict[str, Number]] = Field(
        {}, description="published one-number scores, for comparison only"
    )
    distributions: dict[str, dict[str, tuple[FiniteFloat, ...]]] = Field(
        {}, description="mean answer loss per record (nats per token) by model and set"
    )
    examples: tuple[AnswerExample, ...] = Field((), description="answers of the models to questions about the target")
    image_examples: tuple[ImageExample, ...] = Field((), description="the same with images that may be shown")
    left_out: tuple[str, ...] = Field((), description="checks that the preset leaves out, by what a pass would show")
    not_tested: tuple[str, ...] = Field((), description="these, and attacks that no check makes")
    environment: Environment = Field(description="versions of the libraries")
    stages: dict[str, Number] = Field({}, description="seconds by stage")
    seconds: Number = Field(None, description="duration of the audit")
    seal: str = Field("", description="SHA-256 over all other fields")

    @property
    def roles(self) -> tuple[str, ...]:
        """The audited models in the order of all tables."""
        return tuple(role for role in ROLES if role in self.models)

    @property
    def required(self) -> tuple[str, ...]:
        """Keys of the results that must pass, in the order of the policy."""
        return needed(self.policy.rules, {result.key: result.status for result in self.results})

    def result(self, key: str) -> CheckResult | None:
        """The result `key`, if the audit has it."""
        return next((r for r in self.results if r.key == key), None)

    def measure(self, metric: str, name: str, role: str) -> Measure | None:
        """A metric on the record set `name` for one model, if it was measured."""
        return next((m for m in self.measures if (m.metric, m.set, m.model) == (metric, name, role)), None)


def sealed(audit: AuditFile) -> AuditFile:
    """The audit with a digest of its own content, which `load_audit` compares; it is no signature."""
    return audit.model_copy(update={"seal": _seal(audit)})


def _seal(audit: AuditFile) -> str:
    return digest(audit.model_dump(mode="json", exclude={"seal"}))


def find_audit(source: Path | str) -> Path:
    """The audit file itself, or the one in a folder or in its subfolder `audit`; `InputError` if there is none."""
    path = Path(source)
    if not path.is_dir():
        return path
    for candidate in (path / "audit.json", path / "audit" / "audit.json"):
        if candidate.is_file():
            return candidate
    raise InputError(str(path), "holds no audit.json", "give the folder that an audit wrote, or audit.json itself")


def load_audit(path: Path | str) -> AuditFile:
    """Read and check an audit file.

    Raises:
        InputError: another format or schema version, a wrong value, no seal, or parts that contradict each other.
    """
    path = Path(path)
    raw: Any = read_json(path, AGAIN)
    if not isinstance(raw, dict) or not {"schema_version", "format"} & set(raw):
        raise InputError(str(path), "is no audit (it has no `schema_version`)", "give the audit.json of an audit")
    version = raw.get("schema_version", raw.get("format"))
    if version != SCHEMA_VERSION:
        raise InputError(
            str(path),
            f"has schema version {str(version)[:40]}, and this version of expunge reads {SCHEMA_VERSION}",
            "use the version of expunge that made the audit, or audit again",
        )
    audit = validate(AuditFile, raw, str(path), AGAIN)
    if problem := _contradiction(audit):
        raise InputError(str(path), problem, "the file was changed after the audit; audit again")
    return audit.model_copy(update={"verdict": verdict(audit.results, audit.policy)})  # in the words of this version


def _contradiction(audit: AuditFile) -> str:
    """The first contradiction between parts of the file; empty if there is none."""
    missing = [role for role in ("original", "unlearned") if role not in audit.models]
    if missing:
        return f"the {missing[0]} model is missing"
    if len({result.key for result in audit.results}) != len(audit.results):
        return "a result occurs twice"
    if {audit.policy_digest, audit.verdict.policy_digest} != {audit.policy.digest}:
        return "the policy is not the one that its digest names"
    if not audit.seal:
        return "it has no seal"
    if audit.seal != _seal(audit):
        return "its content is not what its seal names"
    expected = verdict(audit.results, audit.policy)
    if audit.verdict.status != expected.status:
        return f"the verdict is {audit.verdict.status}, but its required results make it {expected.status}"
    return "" if same_outcome(audit.verdict, expected) else "the verdict does not follow from the results"
