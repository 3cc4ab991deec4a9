"""What a log says about a certificate: it is in it, its plan was there before, and all its audits were counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from expunge.errors import InputError
from expunge.evidence.canonical_json import canonical_digest
from expunge.evidence.certificate_schema import CertificatePredicate
from expunge.evidence.envelope import SignedEnvelope, envelope_of, read_envelope, read_file
from expunge.evidence.merkle_log import (
    InclusionProof,
    LogEntry,
    LogHead,
    LogState,
    MerkleLog,
    load_proof,
    proof_problem,
    read_head,
)
from expunge.evidence.moments import parse_moment
from expunge.evidence.trust import Trust, head_problems
from expunge.evidence.verification_report import VerificationReport


@dataclass(frozen=True)
class LogEvidence:
    """What a verifier knows of a log.

    Attributes:
        state: The whole log.
        head: A signed head that was kept elsewhere: by the auditor, or from an earlier verification.
        proof: An inclusion proof.
    """

    state: LogState | None = None
    head: SignedEnvelope | None = None
    proof: InclusionProof | None = None


def load_log_evidence(log: Path | None, head: Path | None = None, proof: Path | None = None) -> LogEvidence | None:
    """What the paths hold: `log` is the folder of a log, or the file of a signed head.

    Raises:
        InputError: a path holds none of these, or a damaged log.
    """
    if log is None and head is None and proof is None:
        return None
    state = MerkleLog(log).read() if log is not None and log.is_dir() else None
    file = log if log is not None and state is None else head
    if log is not None and state is None and head is not None:
        raise InputError("--head", "is given twice: --log is a head too", "give the folder of the log as --log")
    envelope = read_envelope(read_file(file), str(file)) if file is not None else None
    return LogEvidence(state, envelope, load_proof(proof) if proof is not None else None)


def check_log(
    report: VerificationReport,
    envelope: SignedEnvelope,
    predicate: CertificatePredicate,
    trust: Trust,
    evidence: LogEvidence | None,
) -> None:
    """Add the lines about the log; without evidence of it, that it was not checked, or must be."""
    if evidence is None:
        if trust.log == "required":
            report.check("log", "", lambda: ["the trust file requires a log: give --log, or --inclusion"])
        else:
            report.skip("log", "give --log, or --inclusion")
        return
    report.check("log head", "signed by a trusted key", lambda: _heads(evidence, trust))
    report.check("log", "the certificate is in the log", lambda: _included(evidence, envelope))
    state = evidence.state
    if state is None:
        report.skip("plan", "give the folder of the log as --log")
        return
    report.check("plan", "logged before the certificate and its audits", lambda: _plan(state, envelope, predicate))
    if predicate.audit.attempts is None and not any(e.kind == "attempt" for e in _own(state, predicate)):
        report.skip("attempts", "the audits of this request were not counted")
    else:
        text = f"{predicate.audit.attempts} audits were made, as the log has them"
        report.check("attempts", text, lambda: _attempts(state, envelope, predicate))
    report.check("superseded", "no statement in its place is in the log", lambda: _superseded(state, envelope))


def _heads(evidence: LogEvidence, trust: Trust) -> Iterator[str]:
    for envelope in (evidence.state.envelope if evidence.state else None, evidence.head):
        if envelope is not None:
            yield from head_problems(envelope, trust, parse_moment(read_head(envelope, "head").at))
    if evidence.proof:
        envelope = envelope_of(dict(evidence.proof.head), "proof")
        yield from head_problems(envelope, trust, parse_moment(read_head(envelope, "proof").at))
    yield from _forks(evidence)


def _forks(evidence: LogEvidence) -> Iterator[str]:
    """Heads of one log that do not lie on one line."""
    known = [read_head(evidence.head, "head")] if evidence.head else []
    if evidence.proof:
        known.append(read_head(envelope_of(dict(evidence.proof.head), "proof"), "proof"))
    if evidence.state:
        for head in known:
            yield from head_conflict(evidence.state, head)


def head_conflict(state: LogState, earlier: LogHead) -> Iterator[str]:
    """Why a log is not a continuation of an earlier head."""
    if earlier.origin != state.head.origin:
        yield f'the head is of the log "{earlier.origin}", not "{state.head.origin}"'
    elif earlier.size > state.head.size:
        yield f"the log holds {state.head.size} entries, and a signed head had {earlier.size}: its tail was cut"
    elif not state.extends(earlier):
        yield f"the log is a fork: its first {earlier.size} entries are not those of a signed head"


def _included(evidence: LogEvidence, envelope: SignedEnvelope) -> Iterator[str]:
    if evidence.state is not None:
        if evidence.state.find("certificate", envelope.digest) is None:
            yield "the certificate is not in the log"
        return
    proof = evidence.proof
    if proof is None:
        yield "a head alone does not show it: give --inclusion, or the folder of the log as --log"
        return
    if (proof.entry.kind, proof.entry.digest) != ("certificate", envelope.digest):
        yield "the inclusion proof is of another entry"
    if problem := proof_problem(proof):
        yield f"the inclusion proof does not hold: {problem}"
    if evidence.head is not None:
        known, own = read_head(evidence.head, "head"), read_head(envelope_of(dict(proof.head), "proof"), "proof")
        if own.origin != known.origin or own.size != known.size:
            yield f"the proof leads to a head of {own.size} entries, and --log has {known.size}: give the folder"
        elif own.root != known.root:
            yield f"two signed heads of {own.size} entries differ: the log is a fork"


def _own(state: LogState, predicate: CertificatePredicate) -> list[LogEntry]:
    return [entry for entry in state.entries if entry.request == predicate.request.id]


def _plan(state: LogState, envelope: SignedEnvelope, predicate: CertificatePredicate) -> Iterator[str]:
    if predicate.plan is None:
        return
    place = state.find("plan", canonical_digest(predicate.plan.model_dump(mode="json")))
    if place is None:
        yield "the plan is not in the log: a rule, a margin or the recipe is not what was fixed before the run"
        return
    if details := predicate.plan.details:
        larger = state.find("plan", details)
        if larger is None or larger > place:
            yield "the plan that people approved is not in the log, or only after the run had begun"
    certificate = state.find("certificate", envelope.digest)
    own = enumerate(state.entries)
    attempts = [k for k, e in own if e.kind == "attempt" and e.request == predicate.request.id]
    if any(place > k for k in (*attempts, *([] if certificate is None else [certificate]))):
        yield "the plan was logged after an audit or the certificate, not before the run"


def _attempts(state: LogState, envelope: SignedEnvelope, predicate: CertificatePredicate) -> Iterator[str]:
    end = state.find("certificate", envelope.digest)
    entries = state.entries[: state.head.size if end is None else end]
    digests = {e.digest for e in entries if e.kind == "attempt" and e.request == predicate.request.id}
    if predicate.audit.file not in digests:
        yield "the audit of the certificate is not in the log"
    if len(digests) != (predicate.audit.attempts or 0):
        yield f"audits of this request: {len(digests)} in the log, {predicate.audit.attempts or 0} in the certificate"


def _superseded(state: LogState, envelope: SignedEnvelope) -> Iterator[str]:
    for entry in state.entries:
        if entry.kind == "supersession" and entry.about == envelope.digest:
            yield f"the certificate was superseded on {entry.at}"


def verify_log(folder: Path, trust: Trust, heads: Sequence[Path] = ()) -> VerificationReport:
    """Verify a log by itself: entries against the signed head, and the head against earlier ones.

    Args:
        folder: The log.
        trust: Whose signatures count.
        heads: Files of signed heads from earlier or from elsewhere.

    Raises:
        InputError: `folder` holds no log.
    """
    log, report, states = MerkleLog(folder), VerificationReport(), list[LogState]()
    if not log.exists:
        raise InputError(str(folder), "holds no log", "give the folder of a log")

    def entries() -> Iterator[str]:
        states.append(log.read())
        yield from ()

    if not report.check("entries", "those of the signed head", entries):
        return report
    state = states[0]
    text = f"{state.head.size} entries, signed {state.head.at}"
    report.check("head", text, lambda: head_problems(state.envelope, trust, parse_moment(state.head.at)))
    for file in heads:
        text = "its entries are the first ones of this log"
        report.check(f"continues {file.name}", text, partial(_earlier, state, file, trust))
    return report


def _earlier(state: LogState, file: Path, trust: Trust) -> Iterator[str]:
    envelope = read_envelope(read_file(file), str(file))
    earlier = read_head(envelope, str(file))
    yield from head_problems(envelope, trust, parse_moment(earlier.at))
    yield from head_conflict(state, earlier)


def counted_attempts(folder: Path, request: str) -> int | None:
    """How many audits of a request a log has; None for none."""
    entries = MerkleLog(folder).read().entries
    return len({e.digest for e in entries if e.kind == "attempt" and e.request == request}) or None
