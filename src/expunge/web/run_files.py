"""Files of a run that leave the desk: the audit without names and answers, and the certificate as it was registered."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from sqlalchemy import RowMapping

from expunge.desk.certify import FILE
from expunge.desk.desk import Desk, DeskSession
from expunge.desk.facts import latest_run
from expunge.desk.plans import plan_row
from expunge.desk.roles import Actor, Refusal
from expunge.errors import InputError


def run_of(s: DeskSession, plan_hash: str) -> RowMapping:
    """The last run of a plan; `Refusal` of kind `missing`."""
    s.actor.check_may("read")
    row = latest_run(s, plan_row(s, plan_hash)["hash"])
    if row is None:
        raise Refusal("run", "this plan was not run yet", kind="missing")
    return row


def redacted_audit(desk: Desk, actor: Actor, plan_hash: str) -> dict[str, Any]:
    """The audit of a run without names, questions and answers.

    Raises:
        Refusal: there is none, or its file is not the one that was registered.
    """
    from expunge.audit.redaction import redact
    from expunge.audit.schema import load_audit

    with desk.reading(actor) as s:
        run = run_of(s, plan_hash)
    file = _folder(desk, run) / "audit" / "audit.json"
    if run["audit_digest"] is None:
        raise Refusal("audit", "there is none yet", kind="missing")
    raw = _read(file, "audit")
    _check(raw, run["audit_digest"], "audit")
    try:
        copy = redact(load_audit(file), run["audit_digest"])
    except InputError as error:
        raise Refusal("audit", "its file cannot be read", "an operator looks into it", kind="conflict") from error
    return copy.model_dump(mode="json")


def certificate_bytes(desk: Desk, actor: Actor, plan_hash: str) -> bytes:
    """The certificate of a run, byte by byte.

    Raises:
        Refusal: there is none, or its file is not the one that was registered.
    """
    with desk.reading(actor) as s:
        run = run_of(s, plan_hash)
    if run["certificate_digest"] is None:
        raise Refusal("certificate", "there is none yet", kind="missing")
    raw = _read(_folder(desk, run) / FILE, "certificate")
    _check(raw, run["certificate_digest"], "certificate")
    return raw


def _folder(desk: Desk, run: RowMapping) -> Path:
    return desk.runs / str(run["plan_hash"])[:16]


def _read(file: Path, what: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise Refusal(what, "its file is gone", "an operator restores it", kind="missing") from error


def _check(raw: bytes, digest: str, what: str) -> None:
    if hashlib.sha256(raw).hexdigest() != digest:
        raise Refusal(what, "its file is not the one that was registered", "an operator restores it", kind="conflict")
