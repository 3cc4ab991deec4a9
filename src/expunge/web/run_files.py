"""Files of a run that leave the desk: the audit of one request without names and answers, and its certificate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import RowMapping

from expunge._io import digest_file
from expunge.desk.certificates import certificate_file, certificate_row
from expunge.desk.certify import audit_folder, audits_digest
from expunge.desk.desk import Desk, DeskSession
from expunge.desk.facts import latest_plan, latest_run, request_row
from expunge.desk.plans import content_of, plan_row
from expunge.desk.receipts import receipts
from expunge.desk.roles import SYSTEM, Actor, Refusal
from expunge.errors import InputError

RESTORE = "an operator restores it"


def run_of(s: DeskSession, plan_hash: str) -> RowMapping:
    """The last run of a plan; `Refusal` of kind `missing`."""
    s.actor.check_may("read")
    row = latest_run(s, plan_row(s, plan_hash)["hash"])
    if row is None:
        raise Refusal("run", "this plan was not run yet", kind="missing")
    return row


def redacted_audit(desk: Desk, actor: Actor, request_id: str) -> dict[str, Any]:
    """The last audit of a request without names, questions and answers.

    Raises:
        Refusal: there is none, or its file is not the one that was registered.
    """
    from expunge.audit.redaction import redact
    from expunge.audit.schema import load_audit

    with desk.reading(actor) as s:
        s.actor.check_may("read")
        plan = latest_plan(s, request_row(s, request_id)["batch_id"])
        run = latest_run(s, plan["hash"] if plan else None)
    if plan is None or run is None or run["audit_digest"] is None:
        raise Refusal("audit", "there is none yet", kind="missing")
    file = audit_file(desk, plan, run, request_id)
    try:
        copy = redact(load_audit(file), digest_file(file))
    except InputError as error:
        raise Refusal("audit", "its file cannot be read", "an operator looks into it", kind="conflict") from error
    return copy.model_dump(mode="json")


def audit_file(desk: Desk, plan: RowMapping, run: RowMapping, request_id: str) -> Path:
    """The audit of a run for one of its requests; `Refusal` if it is gone, or not the one that was registered."""
    with desk.reading(SYSTEM) as s:
        if request_row(s, request_id)["records_ended_at"]:
            raise Refusal("audit", "was deleted at the end of the record period; its digest stays", kind="missing")
    requests = list(content_of(plan)["requests"])
    folder = desk.runs / str(plan["hash"])[:16]
    if audits_digest(folder, requests) != run["audit_digest"]:
        raise Refusal("audit", "its file is not the one that was registered", RESTORE, kind="conflict")
    return folder / audit_folder(request_id, len(requests) > 1) / "audit.json"


def certificate_bytes(desk: Desk, actor: Actor, request_id: str) -> bytes:
    """The newest certificate of a request, byte by byte.

    Raises:
        Refusal: there is none, or its file is gone or another one.
    """
    with desk.reading(actor) as s:
        s.actor.check_may("read")
        request_row(s, request_id)
        row = certificate_row(s, request_id)
    if row is None:
        raise Refusal("certificate", "there is none yet", kind="missing")
    file = certificate_file(desk, row)
    if _digest(file, bool(row["is_signed"])) != row["digest"]:
        raise Refusal("certificate", "its file is not the one that was registered", RESTORE, kind="conflict")
    return file.read_bytes()


def receipt_bytes(desk: Desk, actor: Actor, request_id: str, kind: str) -> bytes:
    """A receipt of a request, byte by byte.

    Raises:
        Refusal: there is none of this kind, or its file is gone or another one.
    """
    with desk.reading(actor) as s:
        row = next((each for each in receipts(s, request_id) if each["kind"] == kind), None)
    if row is None:
        raise Refusal("receipt", "there is none of this kind", kind="missing")
    file = desk.runs / row["path"]
    if not file.is_file():
        raise Refusal("receipt", "its file is gone", RESTORE, kind="missing")
    if _digest(file, is_signed=True) != row["digest"]:
        raise Refusal("receipt", "its file is not the one that was registered", RESTORE, kind="conflict")
    return file.read_bytes()


def _digest(file: Path, is_signed: bool) -> str:
    """What the desk registered: the digest of the payload of an envelope, or of a plain file."""
    if not is_signed:
        return digest_file(file)
    from expunge.evidence.envelope import read_envelope

    try:
        return str(read_envelope(file.read_bytes(), "certificate").digest)
    except InputError:
        return ""
