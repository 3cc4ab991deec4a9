"""Receipts of a desk: signed statements that a certified model came into use, what was purged, and that a letter went
out.

They are made from what the desk has registered, so a repeat makes the same bytes and the same entry of the log.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from sqlalchemy import RowMapping, insert, select, true

from expunge._io import write_atomic
from expunge.desk import tables as t
from expunge.desk.certificates import certificate_row
from expunge.desk.desk import Desk, DeskSession
from expunge.desk.facts import SETTLED, latest_plan, request_row
from expunge.desk.interim import INTERIM
from expunge.desk.names import moment
from expunge.desk.plans import content_of
from expunge.desk.purging import tasks
from expunge.desk.roles import SYSTEM, Refusal

FOLDER = "receipts"
RECIPIENT = "downstream"  # kind of asset
KINDS = ("promotion", "purge", "notification")
Fields = dict[str, Any]


def issue_receipts(desk: Desk) -> list[str]:
    """Write, sign and log every receipt that is due; returns their digests. Nothing without keys."""
    if desk.settings.certificates is None:
        return []
    with desk.reading(SYSTEM) as s:
        due = [(row, kind, fields) for row, kind in _open(s) if (fields := _due(s, row, kind))]
    return [_issue(desk, row, kind, fields) for row, kind, fields in due]


def _open(s: DeskSession) -> list[tuple[RowMapping, str]]:
    """Requests with a signed certificate, and kinds of receipt that the database shows to be due.

    The rest waits for something, a clerk who posts a letter perhaps, and costs nothing: thousands may.
    """
    here, task, letter = t.request.c, t.task.c, t.outbox.c
    is_open = select(task.id).where(task.request_id == here.id, task.state.not_in(SETTLED)).exists()
    post = (letter.request_id == here.id, letter.accepted_at.is_not(None), letter.body_digest.is_not(None))
    signature = (t.certificate.c.request_id == here.id, t.certificate.c.is_signed == 1)
    ready: dict[str, Any] = {
        "promotion": true(),
        "purge": select(task.id).where(task.request_id == here.id).exists() & ~is_open,
        "notification": select(letter.id).where(*post, letter.template.not_in(INTERIM)).exists(),
    }
    rows = []
    for kind in KINDS:
        receipt = select(t.receipt.c.digest).where(t.receipt.c.request_id == here.id, t.receipt.c.kind == kind).exists()
        query = select(t.request).where(here.promoted_at.is_not(None), here.purged_at.is_(None), ready[kind], ~receipt)
        query = query.where(select(t.certificate.c.request_id).where(*signature).exists()).order_by(here.id)
        rows += [(row, kind) for row in s.conn.execute(query).mappings()]
    return rows


def _due(s: DeskSession, row: RowMapping, kind: str) -> Fields | None:
    """The fields of a receipt that can be written now; None if it cannot, or was."""
    certificate = certificate_row(s, row["id"])
    if certificate is None or not certificate["is_signed"]:
        return None
    here = (t.receipt.c.request_id == row["id"], t.receipt.c.kind == kind)
    if s.conn.execute(select(t.receipt.c.digest).where(*here)).first():
        return None
    fields = FIELDS[kind](s, row)
    known = {"certificate": certificate["digest"], "request": row["reference"]}
    return fields and {**fields, **known}


def _promotion(s: DeskSession, row: RowMapping) -> Fields | None:
    plan = latest_plan(s, row["batch_id"])
    if plan is None:
        return None
    model = content_of(plan)["model"]
    query = select(t.model_version).where(t.model_version.c.parent == model["digest"])
    version = s.conn.execute(query.where(t.model_version.c.lineage == model["lineage"])).mappings().first()
    if version is None:
        return None
    return {"at": row["promoted_at"], "alias": model["lineage"], "before": model["digest"], "after": version["digest"]}


def _purge(s: DeskSession, row: RowMapping) -> Fields | None:
    rows = tasks(s, row["id"])
    if not rows or any(each["state"] not in SETTLED for each in rows):
        return None
    return {"at": max(each["at"] for each in rows), "assets": [_asset(each) for each in rows]}


def _asset(task: RowMapping) -> Fields:
    """What became of an asset, by its kind and opaque id."""
    receipt: dict[str, Any] = json.loads(task["receipt"] or "{}")
    fields = {"asset": task["asset_id"], "kind": task["kind"]}
    decision = receipt.get("decision")
    if decision in ("retain", "unlearn", "suppress"):
        reasons = {"retain": "kept with a ground", "unlearn": "in use, unlearned", "suppress": "in use, filtered"}
        return {**fields, "action": "stays", "reason": reasons[decision]}
    if task["kind"] == RECIPIENT:
        return {**fields, **_notice(task, receipt)}
    if task["state"] == "dated" and task["due_on"]:
        return {**fields, "action": "due", "date": task["due_on"]}
    if str(receipt.get("note", "")).startswith("stays"):
        return {**fields, "action": "stays", "reason": "the adapter in use stands on it"}
    if decision == "not_present" or not receipt.get("removed"):
        return {**fields, "action": "absent"}
    return {**fields, "action": "deleted", "digest": receipt.get("before") or ""}


def _notice(task: RowMapping, receipt: Fields) -> Fields:
    """What became of a copy at a recipient: told, and confirmed or not; never removed by the desk."""
    if task["state"] == "done" and receipt.get("decision"):
        return {"action": "absent"}
    day = receipt.get("notice_on") or ""
    if task["state"] == "done":
        return {"action": "notified", "date": day, "reason": "settled by hand: the recipient confirmed"}
    if not day:
        return {"action": "stays", "reason": "nobody noted that the recipient was told"}
    return {"action": "notified", "date": day, "reason": f"confirmation is awaited by {task['due_on']}"}


def _notification(s: DeskSession, row: RowMapping) -> Fields | None:
    here = t.outbox.c
    closing = (here.request_id == row["id"], here.accepted_at.is_not(None), here.template.not_in(INTERIM))
    query = select(t.outbox).where(*closing)
    letter = s.conn.execute(query).mappings().first()
    if letter is None or letter["body_digest"] is None:
        return None
    return {
        "at": letter["accepted_at"],
        "template": f"{letter['template']}/{row['language']}",
        "version": str(letter["version"]),
        "letter": letter["body_digest"],
        "channel": letter["channel"],
        "accepted": True,
    }


FIELDS: dict[str, Callable[[DeskSession, RowMapping], Fields | None]] = {
    "promotion": _promotion,
    "purge": _purge,
    "notification": _notification,
}


def _issue(desk: Desk, row: RowMapping, kind: str, fields: Fields) -> str:
    from expunge._validation import validate
    from expunge.desk.evidence_log import append_entries
    from expunge.desk.signing import load_keys
    from expunge.evidence.log_sources import entry_of
    from expunge.evidence.moments import format_moment
    from expunge.evidence.receipts import RECEIPTS, make_receipt
    from expunge.evidence.verification import read_certificate

    keys = load_keys(desk.folder, desk.settings)
    assert keys is not None
    with desk.reading(SYSTEM) as s:
        certificate = certificate_row(s, row["id"])
        assert certificate is not None
    file = desk.runs / str(certificate["path"])
    if kind == "promotion":
        envelope, predicate = read_certificate(file)
        if envelope.digest != certificate["digest"]:
            raise Refusal("receipt", "the certificate on disk is not the registered one", "restore it", kind="conflict")
        fields = {**fields, "manifest_root": predicate.artifacts.manifest_root}
    values = {**fields, "at": format_moment(moment(fields["at"]))}
    receipt = make_receipt(validate(RECEIPTS[kind], values, f"{kind} receipt")).signed_by(keys.operator)
    path = f"{file.parent.parent.name}/{FOLDER}/{row['reference']}.{kind}.json"
    (desk.runs / path).parent.mkdir(exist_ok=True, mode=0o700)
    write_atomic(desk.runs / path, receipt.as_bytes(), private=True)
    append_entries(desk, keys, [entry_of(receipt, path, desk.clock())])
    with desk.session(SYSTEM) as s:
        here = (t.receipt.c.request_id == row["id"], t.receipt.c.kind == kind)
        if s.conn.execute(select(t.receipt.c.digest).where(*here)).first() is None:
            pair = {"certificate": certificate["digest"], "digest": receipt.digest}
            values = {"request_id": row["id"], "kind": kind, "path": path, "at": s.at}
            s.conn.execute(insert(t.receipt).values(**values, **pair))
            s.log("receipt.write", {"kind": kind, **pair}, row["id"])
    return receipt.digest


def receipts(s: DeskSession, request_id: str) -> list[dict[str, str]]:
    """Kind, digest, file and time of the receipts of a request."""
    s.actor.check_may("read")
    request_row(s, request_id)
    rows = s.conn.execute(select(t.receipt).where(t.receipt.c.request_id == request_id)).mappings()
    views = [{key: row[key] for key in ("kind", "certificate", "digest", "path", "at")} for row in rows]
    return sorted(views, key=lambda view: KINDS.index(view["kind"]))
