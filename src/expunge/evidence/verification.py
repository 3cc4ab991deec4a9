"""Verify a certificate or a receipt: one line for every check. No torch, no network; trust comes from a file alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from expunge.audit.redaction import redact
from expunge.audit.schema import load_audit
from expunge.errors import InputError
from expunge.evidence.assurance_level import TITLES, level_problem
from expunge.evidence.canonical_json import sha256
from expunge.evidence.certificate_schema import PREDICATE_TYPE, CertificatePredicate
from expunge.evidence.commitment import Disclosure, is_disclosed
from expunge.evidence.consistency import contradictions
from expunge.evidence.envelope import SignedEnvelope, load_envelope, read_envelope, read_file
from expunge.evidence.log_checks import LogEvidence, check_log
from expunge.evidence.model_checks import check_model
from expunge.evidence.moments import parse_moment, present
from expunge.evidence.receipts import RECEIPTS, PersonSummary, Receipt, Supersession, read_receipt, receipt_type
from expunge.evidence.statement import Statement, read_predicate, read_statement
from expunge.evidence.trust import Trust, receipt_problems, signature_problems
from expunge.evidence.verification_report import VerificationReport

T = TypeVar("T")


@dataclass(frozen=True)
class VerificationInputs:
    """What a verifier has beside the certificate and the trust file; each part is optional.

    Attributes:
        model: The folder of the model in use, or of its run.
        audit: The full audit.json.
        log: What is known of the log.
        prior: The file of the certificate of the model before.
        receipts: Files of later statements.
        disclosures: Records that should be in the committed sets.
        request: The reference that the certificate should have.
        at: The time of verification; now if None.
        remembered: Do not read large model files again whose digest is remembered.
    """

    model: Path | None = None
    audit: Path | None = None
    log: LogEvidence | None = None
    prior: Path | None = None
    receipts: Sequence[Path] = ()
    disclosures: Sequence[Disclosure] = ()
    request: str = ""
    at: datetime | None = None
    remembered: bool = False


@dataclass
class Verified:
    """The outcome: the report, and what was read where it could be."""

    report: VerificationReport
    envelope: SignedEnvelope
    certificate: CertificatePredicate | None = None
    receipt: Receipt | None = None


def verify_file(path: Path, trust: Trust, inputs: VerificationInputs | None = None) -> Verified:
    """Verify the file of a certificate or a receipt; `InputError` if it is no signed envelope at all."""
    return verify_bytes(read_file(path), str(path), trust, inputs)


def verify_bytes(raw: bytes, where: str, trust: Trust, inputs: VerificationInputs | None = None) -> Verified:
    """As `verify_file`, of the bytes of a file; `where` names it in errors."""
    inputs = inputs or VerificationInputs()
    envelope = read_envelope(raw, where)
    report = VerificationReport()
    report.check("form", "the file has its one canonical form", lambda: _form(raw, envelope))
    verified = Verified(report, envelope)
    statements: list[Statement] = []
    report.check(
        "statement", "in-toto Statement v1", lambda: _kept(statements, lambda: read_statement(envelope, where))
    )
    if statements:
        statement = statements[0]
        if statement.predicate_type in {receipt_type(kind) for kind in RECEIPTS}:
            _verify_receipt(verified, statement, trust, where)
        else:
            _verify_certificate(verified, statement, trust, inputs, where)
    else:
        _check_signatures(report, envelope, trust, None)
    return verified


def _form(raw: bytes, envelope: SignedEnvelope) -> Iterator[str]:
    if raw != envelope.as_bytes():
        yield "the file is not in its canonical form: it was changed or written again after signing"


def _kept(place: list[T], read: Callable[[], T]) -> Iterable[str]:
    place.append(read())
    return ()


def _check_signatures(report: VerificationReport, envelope: SignedEnvelope, trust: Trust, at: datetime | None) -> None:
    text = f"{len(envelope.signatures)} valid, by the operator and the auditor"
    report.check("signatures", text, lambda: signature_problems(envelope, trust, at))


def _verify_receipt(verified: Verified, statement: Statement, trust: Trust, where: str) -> None:
    report, envelope = verified.report, verified.envelope
    read: list[tuple[str, Receipt]] = []
    report.check("schema", "a receipt", lambda: _kept(read, lambda: read_receipt(statement, where)))
    if not read or isinstance(read[0][1], PersonSummary):
        _check_signatures(report, envelope, trust, parse_moment(read[0][1].at) if read else None)
    else:
        at, text = parse_moment(read[0][1].at), f"{len(envelope.signatures)} valid, by the operator or the auditor"
        report.check("signatures", text, lambda: receipt_problems(envelope, trust, at))
    verified.receipt = read[0][1] if read else None


def _verify_certificate(
    verified: Verified, statement: Statement, trust: Trust, inputs: VerificationInputs, where: str
) -> None:
    report, envelope = verified.report, verified.envelope
    read: list[CertificatePredicate] = []
    report.check(
        "schema",
        "an unlearning certificate, version 1",
        lambda: _kept(read, lambda: read_predicate_of(statement, where)),
    )
    if not read:
        _check_signatures(report, envelope, trust, None)
        return
    predicate = verified.certificate = read[0]
    _check_signatures(report, envelope, trust, parse_moment(predicate.validity.made))
    level = predicate.level.level
    text = f"{level} ({TITLES[level]}); the audit {predicate.audit.verdict.status}"
    report.check("level", text, lambda: [problem] if (problem := level_problem(predicate)) else [])
    report.check("content", "its parts follow from each other", lambda: contradictions(predicate, statement))
    report.check("policy", f'"{predicate.audit.policy.name}" is accepted', lambda: _policy(predicate, trust))
    people = "not stated to be single-person; its two keys differ"
    if predicate.single_person:
        people = "single-person mode, which the trust file accepts"
    report.check("people", people, lambda: _people(predicate, trust))
    report.check("time", f"valid until {predicate.validity.expires}", lambda: _time(predicate, inputs.at or present()))
    if inputs.request:
        report.check("request", inputs.request, lambda: _request(predicate, inputs.request))
    check_model(report, statement, predicate, inputs.model, inputs.remembered)
    _check_audit(report, predicate, inputs)
    for number, disclosure in enumerate(inputs.disclosures, 1):
        text = f"record {number} is in the {disclosure.set} set"
        report.check("record", text, partial(_record, predicate, disclosure))
    if inputs.prior:
        prior = inputs.prior
        report.check("prior", "the model before is the one that it certifies", lambda: _prior(predicate, prior, trust))
    elif predicate.prior:
        report.skip("prior", "give --prior, the certificate of the model before")
    _check_supersession(report, envelope, trust, inputs)
    check_log(report, envelope, predicate, trust, inputs.log)


def _policy(predicate: CertificatePredicate, trust: Trust) -> Iterator[str]:
    if predicate.audit.policy.digest not in trust.policy_digests:
        yield f'the policy "{predicate.audit.policy.name}" ({predicate.audit.policy.digest[:16]}) is not accepted'


def _people(predicate: CertificatePredicate, trust: Trust) -> Iterator[str]:
    if predicate.single_person and trust.single_person == "refuse":
        yield "made in single-person mode, which the trust file does not accept"


def _time(predicate: CertificatePredicate, at: datetime) -> Iterator[str]:
    made, expires = parse_moment(predicate.validity.made), parse_moment(predicate.validity.expires)
    if at > expires:
        yield f"expired on {predicate.validity.expires}"
    elif at < made:
        yield f"was made on {predicate.validity.made}, which is in the future: check both clocks"


def _request(predicate: CertificatePredicate, request: str) -> Iterator[str]:
    if predicate.request.id != request:
        yield f"is about the request {predicate.request.id}, not {request}"


def _check_audit(report: VerificationReport, predicate: CertificatePredicate, inputs: VerificationInputs) -> None:
    if inputs.audit is None:
        report.skip("audit", "give --audit, the full audit.json")
        return
    file = inputs.audit
    report.check("audit", "the full audit is the one of the certificate", lambda: _audit(predicate, file))


def _audit(predicate: CertificatePredicate, file: Path) -> Iterator[str]:
    raw = read_file(file)
    if sha256(raw) != predicate.audit.file:
        yield f"{file} is not the audit of the certificate"
        return
    copy = redact(load_audit(file), sha256(raw))
    if (copy.results, copy.verdict, copy.policy) != (
        predicate.audit.results,
        predicate.audit.verdict,
        predicate.audit.policy,
    ):
        yield "the results in the certificate are not those of the audit"
    if copy.models["unlearned"].digest != predicate.artifacts.after:
        yield "the audit is about another model"


def _record(predicate: CertificatePredicate, disclosure: Disclosure) -> Iterator[str]:
    commitment = predicate.data.commitments.get(disclosure.set)
    if commitment is None:
        yield f"there is no commitment to the {disclosure.set} set"
    elif not is_disclosed(disclosure, commitment):
        yield f"the record is not in the committed {disclosure.set} set, or the key is another one"


def _prior(predicate: CertificatePredicate, file: Path, trust: Trust) -> Iterator[str]:
    envelope = read_envelope(read_file(file), str(file))
    before = read_predicate_of(read_statement(envelope, str(file)), str(file))
    yield from (f"{file}: {p}" for p in signature_problems(envelope, trust, parse_moment(before.validity.made)))
    if predicate.prior and predicate.prior != envelope.digest:
        yield f"{file} is not the certificate that it names as the one before"
    if before.artifacts.after != predicate.artifacts.before:
        yield "the model that the run started from is not the one that the certificate before is about"


def _check_supersession(
    report: VerificationReport, envelope: SignedEnvelope, trust: Trust, inputs: VerificationInputs
) -> None:
    for file in inputs.receipts:
        name = f"receipt {file.name}"
        report.check(name, "signed, and about this certificate", partial(_receipt, file, envelope, trust))


def _receipt(file: Path, certificate: SignedEnvelope, trust: Trust) -> Iterator[str]:
    envelope = read_envelope(read_file(file), str(file))
    _, receipt = read_receipt(read_statement(envelope, str(file)), str(file))
    problems = receipt_problems(envelope, trust, parse_moment(receipt.at))
    yield from problems
    if receipt.certificate != certificate.digest:
        yield "is about another certificate"
    elif isinstance(receipt, Supersession) and not problems:
        successor = f"; {receipt.successor[:16]} stands in its place" if receipt.successor else ""
        yield f"the certificate was superseded on {receipt.at} ({receipt.reason.replace('_', ' ')}){successor}"


def read_certificate(path: Path) -> tuple[SignedEnvelope, CertificatePredicate]:
    """A certificate from its file, its signatures unchecked; `InputError` for what is none."""
    envelope = load_envelope(path)
    statement = read_statement(envelope, str(path))
    if statement.predicate_type in {receipt_type(kind) for kind in RECEIPTS}:
        raise InputError(str(path), "is a receipt, not a certificate", "give the certificate that it names")
    return envelope, read_predicate_of(statement, str(path))


def read_predicate_of(statement: Statement, where: str) -> CertificatePredicate:
    """The certificate that a statement makes; `InputError` for another statement."""
    return read_predicate(statement, PREDICATE_TYPE, CertificatePredicate, where)
