"""Makes the certificates of a run: one for each of its requests, none of which says anything of another request.

A desk with keys makes in-toto statements in DSSE envelopes, signed by the operator; the auditor signs later. A desk
without keys writes plain JSON, which nobody signs. The time is fixed in an earlier step and the bytes are canonical, so
a repeat after a crash makes the same certificates.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from expunge._io import digest_file, write_atomic
from expunge.desk import tables as t
from expunge.desk.desk import Desk, DeskSession
from expunge.desk.executors.base import EXECUTORS
from expunge.desk.facts import request_row
from expunge.desk.names import moment
from expunge.desk.plans import content_of, plan_row
from expunge.desk.probes import CERTIFICATE_KEY, request_key
from expunge.desk.roles import SYSTEM, Refusal
from expunge.desk.runs import issue_head, run_row
from expunge.evidence.canonical_json import canonical_bytes, canonical_digest

FOLDER = "certificates"
NOBODY = "Nobody signed this certificate."
NOTICE = "This is technical evidence, not legal advice."


@dataclass(frozen=True)
class CertificateResult:
    """A written certificate.

    Attributes:
        request_id: Whose it is.
        digest: SHA-256 of its payload, or of the plain file.
        path: File, relative to the folder of runs.
        verified: It verified after it was written; a signed one waits for the auditor.
        signed: The operator signed it.
    """

    request_id: str
    digest: str
    path: str
    verified: bool
    signed: bool


def audit_folder(request_id: str, several: bool) -> str:
    """Name of the folder with the audit of a request: each request of a batch has an audit of its own."""
    return f"audit-{request_id}" if several else "audit"


def audit_digests(folder: Path, requests: list[str]) -> dict[str, str]:
    """Id of each request of a run -> SHA-256 of its audit.json."""
    several, digests = len(requests) > 1, {}
    for request_id in requests:
        file = folder / audit_folder(request_id, several) / "audit.json"
        if not file.is_file():
            raise Refusal("certificate", "the audit on disk is gone", "restore it, or run again", kind="conflict")
        digests[request_id] = digest_file(file)
    return digests


def audits_digest(folder: Path, requests: list[str]) -> str:
    """What a run bears: the digest of its audit, or of the list of those of its requests."""
    digests = list(audit_digests(folder, requests).values())
    return digests[0] if len(digests) == 1 else canonical_digest(digests)


def certificate_data(s: DeskSession, plan_hash: str, attempt: int, request_id: str, audit: str) -> dict[str, Any]:
    """What the desk knows for the certificate of one request: opaque ids, digests, dates; nothing of others.

    Args:
        s: a session.
        plan_hash: the plan.
        attempt: the run.
        request_id: the request.
        audit: SHA-256 of its audit.json.
    """
    plan, run, row = plan_row(s, plan_hash), run_row(s, plan_hash, attempt), request_row(s, request_id)
    content = content_of(plan)
    head = issue_head(s, plan_hash, attempt)
    keys = ("kind", "recipe", "overrides", "seed", "policy", "dtype", "template")
    return {
        "issued_at": run["issued_at"],
        "log_head": {"seq": head.seq, "hash": head.hash},
        "run": run["id"],
        "plan": {"hash": plan_hash, **{key: content[key] for key in keys}, "approved_at": plan["approved_at"]},
        "request": {key: row[key] for key in ("id", "reference", "regime", "regime_digest", "received_on")},
        "model": {"before": content["model"]["digest"], "after": run["output_digest"]},
        "manifest": run["manifest_digest"],
        "audit": {"status": run["audit_status"], "digest": audit, "guard": run["guard_status"]},
        "attempts": plan["number"],
        "single_person": bool(run["single_person"]),
    }


def make_certificates(desk: Desk, plan_hash: str, attempt: int) -> list[CertificateResult]:
    """Write the certificates of a run whose time is fixed, and return them in the order of its requests.

    Raises:
        InputError: a key is not there, or run and audit do not give a certificate.
        Refusal: run or audit on disk are not the registered ones (kind `conflict`).
    """
    with desk.reading(SYSTEM) as s:
        requests = list(content_of(plan_row(s, plan_hash))["requests"])
        registered = run_row(s, plan_hash, attempt)["audit_digest"]
    audits = audit_digests(desk.runs / plan_hash[:16], requests)
    if audits_digest(desk.runs / plan_hash[:16], requests) != registered:
        what = "the audit on disk is not the registered one"
        raise Refusal("certificate", what, "restore the folder of the run, or run again", kind="conflict")
    if desk.settings.certificates is None:
        return [plain_certificate(desk, plan_hash, attempt, r, audit) for r, audit in audits.items()]
    return signed_certificates(desk, plan_hash, attempt, requests)


def plain_certificate(desk: Desk, plan_hash: str, attempt: int, request_id: str, audit: str) -> CertificateResult:
    """Write what the desk knows as canonical JSON, which says that nobody signed it."""
    with desk.reading(SYSTEM) as s:
        data = certificate_data(s, plan_hash, attempt, request_id, audit)
    raw = canonical_bytes({"signed": False, "signature": NOBODY, "notice": NOTICE, **data})
    path = certificate_path(plan_hash, data["request"]["reference"])
    file = write_atomic(desk.runs / path, raw, private=True)
    passed = data["audit"]["status"] == "passed" and data["audit"]["guard"] != "failed"
    return CertificateResult(request_id, digest_file(file), path, passed and file.read_bytes() == raw, signed=False)


def certificate_path(plan_hash: str, reference: str) -> str:
    """File of a certificate, relative to the folder of runs."""
    return f"{plan_hash[:16]}/{FOLDER}/{reference}.json"


def signed_certificates(desk: Desk, plan_hash: str, attempt: int, requests: list[str]) -> list[CertificateResult]:
    """Make, sign and log the certificates of a run; a certificate that is there already stays as it is."""
    from expunge.desk.evidence_log import append_entries, head_entry, note_anchor
    from expunge.desk.signing import load_keys
    from expunge.evidence.log_sources import entry_of

    keys = load_keys(desk.folder, desk.settings)
    assert keys is not None
    results, entries = [], []
    for request_id in requests:
        envelope, path = _signed(desk, keys, plan_hash, attempt, request_id, several=len(requests) > 1)
        entries.append(entry_of(envelope, path, desk.clock()))
        results.append(CertificateResult(request_id, envelope.digest, path, verified=False, signed=True))
    with desk.reading(SYSTEM) as s:
        head = issue_head(s, plan_hash, attempt)
    append_entries(desk, keys, [head_entry(desk, head), *entries])
    with desk.session(SYSTEM) as s:
        note_anchor(s, head)
    return results


def _signed(desk: Desk, keys: Any, plan_hash: str, attempt: int, request_id: str, several: bool) -> tuple[Any, str]:
    """The envelope of a certificate, written to its file, and the path of that file."""
    from expunge.evidence.certificate import make_certificate
    from expunge.evidence.envelope import save_envelope

    folder = desk.runs / plan_hash[:16]
    with desk.session(SYSTEM) as s:
        facts, about = _facts(s, keys, plan_hash, attempt, request_id)
        run = run_row(s, plan_hash, attempt)
        content = content_of(plan_row(s, plan_hash))
    path = certificate_path(plan_hash, facts.request["id"])
    if (standing := _standing(desk.runs / path, keys, facts.request["id"], run)) is not None:
        return standing, path
    place, audit = folder / EXECUTORS.get(content["kind"]).result, folder / audit_folder(request_id, several)
    facts = _with_sets(desk, facts, about, content, request_id, place)
    envelope = make_certificate(place, audit, facts, at=moment(run["issued_at"])).signed_by(keys.operator)
    _check_registered(envelope, run, content, folder, request_id)
    (desk.runs / path).parent.mkdir(exist_ok=True, mode=0o700)
    save_envelope(envelope, desk.runs / path)
    return envelope, path


def _standing(file: Path, keys: Any, reference: str, run: Any) -> Any:
    """The certificate of this run that is there already, perhaps with the auditor's signature; else None."""
    from expunge.evidence.moments import format_moment
    from expunge.evidence.verification import read_certificate

    if not file.is_file():
        return None
    envelope, predicate = read_certificate(file)
    made = format_moment(moment(run["issued_at"]))
    wanted = (reference, made, run["output_digest"])
    if (predicate.request.id, predicate.validity.made, predicate.artifacts.after) != wanted:
        return None
    own = [each for each in envelope.signatures if each.keyid == keys.operator.public.keyid]
    signed = envelope.signed_bytes
    return envelope if any(keys.operator.public.is_signature(each.signature, signed) for each in own) else None


def _facts(s: DeskSession, keys: Any, plan_hash: str, attempt: int, request_id: str) -> tuple[Any, dict[str, Any]]:
    """The facts of a certificate that the desk knows, and the key for its commitments."""
    from expunge.evidence.certificate import CertificateFacts
    from expunge.evidence.log_checks import counted_attempts

    row, run, plan = request_row(s, request_id), run_row(s, plan_hash, attempt), plan_row(s, plan_hash)
    content, regime = content_of(plan), s.rules_of(row)
    query = select(t.event_log.c.at).where(
        t.event_log.c.request_id == request_id, t.event_log.c.type == "request.decide"
    )
    decided = s.conn.execute(query.order_by(t.event_log.c.seq.desc())).scalar()
    reference = str(row["reference"])
    facts = CertificateFacts(
        request={
            "id": reference,
            "regime": regime.name,
            "policy_version": f"{regime.key} {regime.digest[:16]}",
            "ground": regime.title[:200],
            "received": row["received_on"],
            "decided": str(decided)[:10] if decided else "",
        },
        single_person=bool(run["single_person"]),
        attempts=counted_attempts(keys.log.folder, reference),
        days=keys.days,
        level="L0" if content["kind"] == "suppress" else None,
        prior=_prior(s, content),
        plan_details=plan_hash,
        method={"name": "suppress"} if content["kind"] == "suppress" else {},
    )
    return facts, {"key": request_key(s, request_id, CERTIFICATE_KEY)}


def _prior(s: DeskSession, content: dict[str, Any]) -> str:
    """Digest of a certificate of the run that made the model before; empty without one."""
    here = (t.certificate.c.run_id == content["after_run"], t.certificate.c.is_signed == 1)
    query = select(t.certificate.c.digest).where(*here).order_by(t.certificate.c.request_id)
    return str(s.conn.execute(query).scalar() or "")


def _with_sets(
    desk: Desk, facts: Any, about: dict[str, Any], content: dict[str, Any], request_id: str, run: Path
) -> Any:
    """The facts with commitments to the records and to the selection, where the run says what it was given."""
    from dataclasses import replace

    from expunge.desk.committed_sets import commitments_of

    commitments, selection = commitments_of(desk, content, request_id, run, about["key"])
    if not commitments:
        return facts
    return replace(facts, commitments=commitments, selection=selection, key_fate="held")


def _check_registered(envelope: Any, run: Any, content: dict[str, Any], folder: Path, request_id: str) -> None:
    """`Refusal` if a certificate is about other files than those that the desk registered."""
    from expunge.evidence.statement import read_statement
    from expunge.evidence.verification import read_predicate_of

    predicate = read_predicate_of(read_statement(envelope, "certificate"), "certificate")
    pairs = [
        ("model", predicate.artifacts.after, run["output_digest"]),
        ("audit", predicate.audit.file, audit_digests(folder, content["requests"])[request_id]),
        ("policy of the audit", predicate.audit.policy_digest, content["policy"]["digest"]),
    ]
    if predicate.plan is not None:
        pairs.append(("model before", predicate.artifacts.before, content["model"]["digest"]))
    for what, here, wanted in pairs:
        if here != wanted:
            hint = "restore the folder of the run, or run again"
            raise Refusal("certificate", f"the {what} is not the registered one", hint, kind="conflict")
