"""Make a certificate from what a run and its audit wrote. Plain data in, an unsigned envelope out; no database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from expunge._validation import validate
from expunge.audit.redaction import redact
from expunge.audit.schema import AuditFile, find_audit, load_audit
from expunge.errors import InputError
from expunge.evidence.assurance_level import ORDER, REASONS, highest_level
from expunge.evidence.canonical_json import canonical_digest, sha256
from expunge.evidence.certificate_schema import (
    PREDICATE_TYPE,
    CertificatePredicate,
    Level,
    PlanCommitment,
    ServingConfiguration,
    SetCommitment,
)
from expunge.evidence.consistency import contradictions
from expunge.evidence.coverage import coverage_rows, deltas, threat_models
from expunge.evidence.envelope import SignedEnvelope, read_file
from expunge.evidence.limits import TRIGGERS, run_limits
from expunge.evidence.manifest import Manifest, make_manifest, manifest_root
from expunge.evidence.moments import format_moment, present
from expunge.evidence.run_evidence import RunEvidence, check_export, dtype_of, form_of, quantization, read_run
from expunge.evidence.statement import make_statement, read_statement
from expunge.models.fingerprint import model_digest

DAYS = 365
COMPARISONS = {"L1": "controls", "L2": "retrained", "L3": "exact"}  # level of the audit's comparison → its name here


class AuditNotPassed(InputError):
    """The audit did not pass, so there is nothing to certify (exit code 3)."""

    exit_code = 3


@dataclass(frozen=True)
class CertificateFacts:
    """What a run and its audit do not say by themselves.

    Attributes:
        request: Keys of `RequestReference`; an empty id becomes one that is derived from the run's seal.
        single_person: One person planned, ran and approved.
        attempts: Audits of this request up to this one; None where nobody counted.
        days: Days until the certificate expires.
        level: A lower level than the evidence carries, `L0` for suppression; None for the highest.
        stage: Of L3: the stage of training.
        prior: Digest of the certificate of the model before; empty without one.
        commitments: Commitments to record sets by name.
        selection: `selection_value` of the scope, so that its name is found by nobody without the key.
        key_fate: What becomes of the key.
        plan_details: Digest of a larger plan.
        serving: Serving engine and settings.
        method: Further keys of `MethodBlock`: name (`suppress` for a filter), family, paper, commit, container,
            lock_file, hardware.
    """

    request: Mapping[str, str] = field(default_factory=dict)
    single_person: bool = False
    attempts: int | None = None
    days: int = DAYS
    level: Level | None = None
    stage: str = ""
    prior: str = ""
    commitments: Mapping[str, SetCommitment] = field(default_factory=dict)
    selection: str = ""
    key_fate: Literal["none", "held", "escrowed", "shredded"] = "none"
    plan_details: str = ""
    serving: ServingConfiguration | None = None
    method: Mapping[str, str] = field(default_factory=dict)


def make_certificate(
    run: Path,
    audit: Path,
    facts: CertificateFacts | None = None,
    *,
    model: Path | None = None,
    at: datetime | None = None,
    remembered: bool = False,
) -> SignedEnvelope:
    """A certificate without signatures. Equal inputs and an equal time give equal bytes.

    Args:
        run: The folder of the run, or of a model that was trained again.
        audit: audit.json, or the folder with it.
        facts: What both do not say.
        model: The folder that is certified, where it is not what the run wrote: an export of it that was audited.
        at: The time of certification.
        remembered: Do not read large files again whose digest is remembered.

    Raises:
        AuditNotPassed: the audit did not pass, and no suppression (L0) is to be certified.
        InputError: run, audit and model do not belong together, or one of them is not as it was written.
    """
    facts, at = facts or CertificateFacts(), at or present()
    file = find_audit(audit)
    judged = load_audit(file)
    if judged.redaction is not None:
        raise InputError(str(file), "is a redacted copy", "give the full audit.json")
    evidence = read_run(run, fresh=not remembered)
    if evidence.is_run and judged.training_digest != evidence.identity.get("split"):
        what = "is about other records than the run, or about an earlier request on the same model"
        raise InputError(str(file), what, "give the audit of this run")
    folder, manifest = _certified_folder(evidence, judged, model, remembered)
    predicate = _predicate(evidence, judged, sha256(read_file(file)), facts, folder, manifest, at)
    envelope = make_statement(manifest, PREDICATE_TYPE, predicate)
    for line in contradictions(predicate, read_statement(envelope, str(file))):
        raise InputError(str(file), f"gives no certificate: {line}", "audit again")
    return envelope


def _certified_folder(
    run: RunEvidence, audit: AuditFile, model: Path | None, remembered: bool
) -> tuple[Path, Manifest]:
    """The folder that is certified and its files; `InputError` if it is not what was audited."""
    audited = audit.models["unlearned"].digest
    own = make_manifest(run.result, remembered) if model is None or run.digest == audited else {}
    if model is None:
        if run.digest != audited:
            hint = "give the audit of this run; or --model, where an export of it was audited"
            raise InputError(str(run.folder), "is not the model that was audited", hint)
        return run.result, own
    here = make_manifest(model, remembered)
    if own == here:
        return model, here
    if model_digest(str(model), fresh=not remembered) != audited:
        what = "is neither what the run wrote nor the model that was audited"
        raise InputError(str(model), what, "audit the folder that is used, and give that audit")
    check_export(model, run)
    return model, here


def _predicate(
    run: RunEvidence,
    audit: AuditFile,
    file_digest: str,
    facts: CertificateFacts,
    folder: Path,
    manifest: Manifest,
    at: datetime,
) -> CertificatePredicate:
    copy = redact(audit, file_digest)
    comparison = COMPARISONS[audit.assurance.level] if audit.assurance else "controls"
    before = run.identity.get("model") or audit.models["original"].digest
    training = run.identity.get("split") or audit.training_digest
    request = {"id": f"run-{(run.seal or run.digest)[:16]}", **{k: v for k, v in facts.request.items() if v}}
    level = _level(audit, comparison, run, facts)
    utility, neighbors = deltas(copy.results)
    form = form_of(folder)
    raw: dict[str, Any] = {
        "request": request,
        "artifacts": {
            "before": before,
            "after": audit.models["unlearned"].digest,
            "manifest_root": manifest_root(manifest),
            "form": form,
            "tokenizer": run.identity.get("tokenizer", ""),
            "dtype": dtype_of(folder, run.about),
            "quantization": quantization(folder),
            "serving": facts.serving,
        },
        "plan": _plan(run, audit, request["id"], facts.plan_details),
        "data": {
            "split": audit.split_digest,
            "training": training,
            "selection": facts.selection,
            **{name: getattr(audit.split, name) for name in ("forget", "retain", "retain_heldout", "holdout")},
            "controls": audit.split.controls,
            "commitments": dict(facts.commitments),
            "key_fate": facts.key_fate,
        },
        "method": _method(run, facts),
        "audit": {
            "file": file_digest,
            "created": audit.created,
            "policy": audit.policy,
            "policy_digest": audit.policy_digest,
            "reference": audit.reference,
            "comparison": comparison,
            "original": audit.models["original"].digest,
            "retrained": audit.models["retrained"].digest if "retrained" in audit.models else "",
            "results": copy.results,
            "threat_models": threat_models(copy.results),
            "verdict": copy.verdict,
            "known": audit.known,
            "control_records": audit.control_records,
            "attempts": facts.attempts,
            "score_files": audit.score_files,
            "not_tested": audit.not_tested,
        },
        "utility": utility,
        "neighbors": neighbors,
        "dp": run.privacy,
        "level": {"level": level, "why": REASONS[level], "stage": _stage(level, facts)},
        "coverage": coverage_rows(copy.results),
        "limits": run_limits(
            single_person=facts.single_person,
            attempts=facts.attempts,
            committed=bool(facts.commitments),
            controls=comparison == "controls",
            few=any(r.status == "passed" and r.ci is None for r in copy.results),
            noise=run.privacy is not None,
            adapter=form == "adapter",
            chain=bool(run.about.get("chain")),
            not_tested=audit.not_tested,
        ),
        "single_person": facts.single_person,
        "validity": {
            "made": format_moment(at),
            "expires": format_moment(at + timedelta(days=facts.days)),
            "triggers": TRIGGERS,
        },
        "prior": facts.prior,
        "software": f"expunge {_version()}",
    }
    return validate(CertificatePredicate, raw, "certificate", "check the options of the certificate")


def _level(audit: AuditFile, comparison: str, run: RunEvidence, facts: CertificateFacts) -> Level:
    highest = highest_level(audit.verdict.status, comparison, run.privacy)
    if facts.level is None:
        if audit.verdict.status != "passed":
            what = f"did not pass: {audit.verdict.sentence}"
            raise AuditNotPassed("audit", what, "try another plan; for a filter of outputs give --level L0")
        return highest
    if ORDER.index(facts.level) > ORDER.index(highest):
        raise InputError("--level", f"{facts.level} is above the evidence, which carries {highest}", "leave it out")
    return facts.level


def _stage(level: Level, facts: CertificateFacts) -> str:
    return facts.stage or "the training that train.json of the folder describes" if level == "L3" else ""


def _plan(run: RunEvidence, audit: AuditFile, request: str, details: str) -> dict[str, str] | None:
    if not run.is_run:
        return None
    return {
        "request": request,
        "recipe": run.identity["recipe"],
        "policy": audit.policy_digest,
        "model": run.identity["model"],
        "training": run.identity["split"],
        "details": details,
    }


def _method(run: RunEvidence, facts: CertificateFacts) -> dict[str, Any]:
    settings = run.recipe if run.is_run else run.about.get("about", {})
    return {
        "name": run.method,
        "recipe": run.identity.get("recipe", ""),
        "settings": settings,
        "seed": run.seed,
        "steps": run.about.get("steps"),
        "trainable_share": run.about.get("trainable_share"),
        "threads": run.about.get("threads"),
        "run_seal": run.seal,
        "environment": run.environment,
        **{key: value for key, value in facts.method.items() if value},
    }


def plan_of_run(run: Path, policy_digest: str, request: str, details: str = "") -> PlanCommitment:
    """The plan of a run that has begun or is finished, to be logged; `InputError` for what is no run."""
    from expunge.models.run_file import read_run_file

    identity = read_run_file(run)["identity"]
    raw = {
        "request": request,
        "recipe": identity.get("recipe"),
        "policy": policy_digest,
        "model": identity.get("model"),
        "training": identity.get("split"),
        "details": details,
    }
    return validate(PlanCommitment, raw, str(run / "run.json"), "give the folder of a run, and an opaque --request")


def plan_digest(plan: PlanCommitment) -> str:
    """The digest that the log holds of a plan."""
    return canonical_digest(plan.model_dump(mode="json"))


def _version() -> str:
    try:
        return version("expunge")
    except PackageNotFoundError:
        return "unknown"
