"""The certificates of a desk: registered by the worker, signed by the auditor, verified before a promotion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import RowMapping, insert, select, update

from expunge._io import digest_file
from expunge.desk import tables as t
from expunge.desk.certify import CertificateResult, audit_folder
from expunge.desk.desk import Desk, DeskSession
from expunge.desk.executors.base import EXECUTORS
from expunge.desk.facts import facts_of, latest_run
from expunge.desk.plans import content_of, plan_row
from expunge.desk.roles import SYSTEM, Actor, Refusal
from expunge.desk.runs import register_certificate, run_row
from expunge.errors import InputError
from expunge.evidence.canonical_json import canonical_digest

if TYPE_CHECKING:
    from expunge.evidence.envelope import SignedEnvelope
    from expunge.evidence.signing_key import SigningKey
    from expunge.evidence.verification_report import VerificationReport


def register_all(s: DeskSession, plan_hash: str, attempt: int, results: Sequence[CertificateResult]) -> str:
    """Register the certificates of a run, which are made once; returns the digest that the run bears.

    Of one certificate it is its own digest, of several that of their list.

    Raises:
        Refusal: the run has other certificates (kind `conflict`).
    """
    run = run_row(s, plan_hash, attempt)
    digests = [each.digest for each in results]
    digest = digests[0] if len(digests) == 1 else canonical_digest(digests)
    verified, signed = all(each.verified for each in results), all(each.signed for each in results)
    register_certificate(s, plan_hash, attempt, digest, verified, signed)
    known = select(t.certificate.c.request_id).where(t.certificate.c.run_id == run["id"])
    there = set(s.conn.execute(known).scalars())
    for each in results:
        if each.request_id in there:
            continue
        values = {"run_id": run["id"], "request_id": each.request_id, "digest": each.digest, "path": each.path}
        verified_at = s.at if each.verified else None
        s.conn.execute(
            insert(t.certificate).values(**values, is_signed=int(each.signed), at=s.at, verified_at=verified_at)
        )
        s.log("certificate.make", {"certificate": each.digest, "signed": each.signed}, each.request_id)
    return digest


def certificate_row(s: DeskSession, request_id: str) -> RowMapping | None:
    """The newest certificate of a request; None without one."""
    query = select(t.certificate).where(t.certificate.c.request_id == request_id)
    return s.conn.execute(query.order_by(t.certificate.c.at.desc(), t.certificate.c.run_id.desc())).mappings().first()


def certificate_view(s: DeskSession, request_id: str) -> dict[str, Any] | None:
    """Who signed the certificate of a request, and what is missing; None without one."""
    s.actor.check_may("read")
    row = certificate_row(s, request_id)
    if row is None:
        return None
    signers = ("operator", *(("auditor",) if row["auditor"] else ())) if row["is_signed"] else ()
    missing = "" if row["verified_at"] else "the auditor has not signed it"
    return {
        **{key: row[key] for key in ("digest", "path", "at", "verified_at", "auditor")},
        "signed_by": list(signers),
        "signature": "" if signers else "nobody signed it",
        "missing": missing,
    }


def certificate_file(desk: Desk, row: RowMapping) -> Path:
    """The file of a certificate; `Refusal` if it is not there."""
    file = desk.runs / str(row["path"])
    if not file.is_file():
        raise Refusal("certificate", "its file is gone", "restore the folder of runs", kind="missing")
    return file


def sign_certificate(desk: Desk, actor: Actor, request_id: str, key: SigningKey) -> VerificationReport:
    """Sign the certificate of a request with the auditor's key, which is used here alone and kept nowhere.

    Args:
        desk: the desk.
        actor: an auditor who neither worked on the request nor approved it.
        request_id: the request.
        key: the auditor's private key.

    Raises:
        Refusal: wrong role, no certificate, another key than the auditor's, or a certificate that does not verify.
    """
    from expunge.evidence.envelope import load_envelope

    row = _signable(desk, actor, request_id)
    return _take(desk, actor, row, load_envelope(certificate_file(desk, row)).signed_by(key))


def take_signed(desk: Desk, actor: Actor, request_id: str, raw: bytes) -> VerificationReport:
    """Take in the certificate of a request that was signed elsewhere, by `expunge certificate sign`.

    Args:
        desk: the desk.
        actor: an auditor who neither worked on the request nor approved it.
        request_id: the request.
        raw: bytes of the signed file.

    Raises:
        Refusal: as `sign_certificate`, or it is another certificate.
        InputError: it is no signed envelope.
    """
    from expunge.evidence.envelope import read_envelope

    return _take(desk, actor, _signable(desk, actor, request_id), read_envelope(raw, "certificate"))


def _signable(desk: Desk, actor: Actor, request_id: str) -> RowMapping:
    actor.check_may("sign audit")
    with desk.reading(actor) as s:
        row = certificate_row(s, request_id)
        _check_independent(s, request_id)
    if row is None:
        raise Refusal("certificate", "the request has none yet", kind="missing")
    if not row["is_signed"]:
        hint = "the desk is configured without keys; see operate-desk.md"
        raise Refusal("certificate", "nobody signs certificates at this desk", hint)
    return row


def _check_independent(s: DeskSession, request_id: str) -> None:
    """`Refusal` for an auditor who worked on a request, or approved its plan or its promotion."""
    facts, person = facts_of(s, request_id), s.actor.person
    if facts.single_person:
        return
    if person in facts.operators:
        raise Refusal("certificate", "the auditor also planned, ran, decided or identified it", "somebody else signs")
    if person in facts.approvers | facts.promotion_approvers:
        raise Refusal("certificate", "the auditor also approved it", "somebody else signs")


def _take(desk: Desk, actor: Actor, row: RowMapping, envelope: SignedEnvelope) -> VerificationReport:
    from expunge.evidence.envelope import save_envelope

    if envelope.digest != row["digest"]:
        raise Refusal("certificate", "is another one than that of the request", "sign the file of the desk")
    report = verify_envelope(desk, row, envelope)
    if not report.is_valid:
        lines = [str(line) for line in report.lines if line.outcome == "invalid"]
        raise Refusal("certificate", "; ".join(lines), "nothing was registered")
    save_envelope(envelope, certificate_file(desk, row))
    with desk.session(actor) as s:
        register_signature(s, row)
    return report


def register_signature(s: DeskSession, row: RowMapping) -> None:
    """Mark a certificate as verified, and its run once all its certificates are.

    Raises:
        Refusal: the auditor worked on the request, or approved it meanwhile.
    """
    s.actor.check_may("sign audit")
    _check_independent(s, row["request_id"])
    here = (t.certificate.c.run_id == row["run_id"], t.certificate.c.request_id == row["request_id"])
    fresh = (*here, t.certificate.c.verified_at.is_(None))
    changed = s.conn.execute(update(t.certificate).where(*fresh).values(verified_at=s.at, auditor=s.actor.person))
    if not changed.rowcount:
        return
    s.log("certificate.sign", {"certificate": row["digest"]}, row["request_id"])
    left = select(t.certificate.c.request_id).where(
        t.certificate.c.run_id == row["run_id"], t.certificate.c.verified_at.is_(None)
    )
    if s.conn.execute(left).first() is None:
        s.conn.execute(update(t.run).where(t.run.c.id == row["run_id"]).values(certificate_verified_at=s.at))
        s.log("run.verified", {"run": row["run_id"]})


def verify_envelope(desk: Desk, row: RowMapping, envelope: SignedEnvelope) -> VerificationReport:
    """Verify a certificate by the desk's own keys: two signatures, the model on disk, the audit, the log."""
    from expunge.desk.signing import load_keys
    from expunge.evidence.log_checks import LogEvidence
    from expunge.evidence.verification import VerificationInputs, verify_bytes

    keys = load_keys(desk.folder, desk.settings)
    if keys is None:
        raise Refusal("certificate", "nobody signs certificates at this desk")
    with desk.reading(SYSTEM) as s:
        run = s.conn.execute(select(t.run).where(t.run.c.id == row["run_id"])).mappings().one()
        content = content_of(plan_row(s, run["plan_hash"]))
        reference = s.conn.execute(select(t.request.c.reference).where(t.request.c.id == row["request_id"])).scalar()
    folder = desk.runs / run["plan_hash"][:16]
    inputs = VerificationInputs(
        model=folder / EXECUTORS.get(content["kind"]).result,
        audit=folder / audit_folder(row["request_id"], len(content["requests"]) > 1) / "audit.json",
        log=LogEvidence(state=keys.log.read()),
        request=str(reference),
        at=desk.clock(),
    )
    trust = keys.trust(content["policy"]["digest"], bool(run["single_person"]))
    return verify_bytes(envelope.as_bytes(), str(row["path"]), trust, inputs).report


def check_promotable(desk: Desk, plan_hash: str) -> None:
    """`Refusal` if a certificate on disk is not the registered one, or does not verify by now.

    A signed one must have both signatures and be about the model on disk; a plain one must be as it was written.
    """
    with desk.reading(SYSTEM) as s:
        run = latest_run(s, plan_hash)
        rows = []
        if run is not None:
            rows = list(
                s.conn.execute(select(t.certificate).where(t.certificate.c.run_id == run["id"])).mappings().all()
            )
    if not rows:
        raise Refusal("promote", "there is no certificate", "restore it", kind="conflict")
    for row in rows:
        _check_one(desk, row)


def _check_one(desk: Desk, row: RowMapping) -> None:
    from expunge.evidence.envelope import read_envelope

    file = desk.runs / str(row["path"])
    changed = Refusal("promote", "the certificate on disk is not the registered one", "restore it", kind="conflict")
    if not file.is_file():
        raise changed
    if not row["is_signed"]:
        if desk.settings.certificates is not None:
            what = "nobody signed the certificate, which was made before the desk had keys"
            raise Refusal("promote", what, "run again", kind="conflict")
        if digest_file(file) != row["digest"]:
            raise changed
        return
    try:
        envelope = read_envelope(file.read_bytes(), str(row["path"]))
    except InputError as error:
        raise changed from error
    if envelope.digest != row["digest"]:
        raise changed
    report = verify_envelope(desk, row, envelope)
    if not report.is_valid:
        lines = "; ".join(str(line) for line in report.lines if line.outcome == "invalid")
        raise Refusal("promote", f"the certificate does not verify: {lines}", "restore what changed", kind="conflict")
