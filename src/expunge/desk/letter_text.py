"""The closing letters of a desk in words, in the person's language: what the desk did, and nothing of another person.

They need the controller's contact and authority (`letters` of desk.yaml). What a letter says of tests comes from the
certificate, or, where nobody signs, from the audit.
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import RowMapping, select

from expunge._io import digest_file, read_object, write_atomic
from expunge._validation import validate
from expunge.desk import tables as t
from expunge.desk.certificates import certificate_file, certificate_row
from expunge.desk.certify import audit_folder
from expunge.desk.desk import Desk, DeskSession
from expunge.desk.event_log import read_head
from expunge.desk.facts import OUTBOX, latest_plan, request_row
from expunge.desk.names import moment
from expunge.desk.plans import content_of
from expunge.desk.purging import tasks
from expunge.desk.roles import Actor, Refusal
from expunge.errors import InputError

if TYPE_CHECKING:
    from expunge.evidence.letter import LetterAsset
    from expunge.evidence.letter_tests import LetterTests
    from expunge.evidence.wording import Language

KINDS = {"vector_index": "index", "logs": "log"}  # kind of asset -> kind in a letter, where they differ
WITH_ASSETS = ("fulfilled", "nothing_held", "denied")  # ends of which a letter says what became of each asset
CHANGED_MODEL = ("unlearn", "suppress", "retrain", "drop")


def write_letter_file(s: DeskSession, request_id: str, template: str) -> str:
    """Write the letter of a request into its file, and return its SHA-256.

    Raises:
        InputError: it would say what no test carries; or certificate or audit are not there.
    """
    from expunge.evidence.letter import LetterFacts, write_answer

    row = request_row(s, request_id)
    language: Language = row["language"]
    tests = _tests(s, request_id) if template == "fulfilled" else None
    assert s.settings.letters is not None
    raw = {
        "controller": s.settings.controller,
        "contact": s.settings.letters.contact,
        "authority": s.settings.letters.authority,
        "received": row["received_on"],
        "assets": _assets(s, request_id, tests, language) if template in WITH_ASSETS else (),
        "model_changed": row["promoted_at"][:10] if row["promoted_at"] and tests else "",
        "log_head": _head(s),
        "outcome": _outcome(row, template),
        "reason": _reason(s, request_id) if template == "cancelled" else "",
        "other": _other(s, row),
    }
    facts = validate(LetterFacts, raw, "letter")
    text = write_answer(row["reference"], facts, language, "html", date.fromisoformat(s.today), tests)
    return digest_file(write_atomic(letter_file(s.desk, request_id, template), text, private=True))


def letter_file(desk: Desk, request_id: str, template: str, version: int = 1) -> Path:
    """Where the letter of a request lies."""
    name = template if version == 1 else f"{template}.{version}"
    return desk.folder / OUTBOX / f"{request_id}.{name}.html"


def read_letter(desk: Desk, actor: Actor, letter_id: str) -> str:
    """The text of a letter as a page of HTML.

    Raises:
        Refusal: wrong role, no such letter, one that the desk did not write, or a file that was changed (kind `role`,
            `missing` or `conflict`).
    """
    actor.check_may("read letter")
    with desk.reading(actor) as s:
        row = s.conn.execute(select(t.outbox).where(t.outbox.c.id == letter_id)).mappings().first()
    if row is None or row["body_digest"] is None:
        what = "there is no such letter" if row is None else "the desk did not write this letter"
        raise Refusal("letter", what, "set `letters` in desk.yaml; write this one by hand", kind="missing")
    file = letter_file(desk, row["request_id"], row["template"], row["version"])
    if not file.is_file() or digest_file(file) != row["body_digest"]:
        raise Refusal("letter", "its file is gone or was changed", "restore it", kind="conflict")
    return file.read_text("utf-8")


def _outcome(row: RowMapping, template: str) -> Any:
    if template == "denied" and row["identity_verified_at"] is None:
        return "not_identified"
    if template == "expired" and row["held_at"] is not None:
        return "expired_on_hold"
    return template


def _assets(s: DeskSession, request_id: str, tests: LetterTests | None, language: Language) -> tuple[LetterAsset, ...]:
    """What became of each asset that was decided, once for each kind and fate."""
    settled = {each["asset_id"]: each for each in tasks(s, request_id)}
    query = (
        select(t.decision, t.asset.c.kind.label("asset_kind"))
        .join(t.asset, t.asset.c.id == t.decision.c.asset_id)
        .where(t.decision.c.request_id == request_id, t.decision.c.is_final == 1)
        .order_by(t.asset.c.name)
    )
    rows = s.conn.execute(query).mappings()
    return tuple(dict.fromkeys(_asset(row, settled.get(row["asset_id"]), tests, language) for row in rows))


def _asset(row: RowMapping, task: RowMapping | None, tests: LetterTests | None, language: Language) -> LetterAsset:
    from expunge.evidence.letter import LetterAsset, ground_in, phrases

    kind: Any = KINDS.get(row["asset_kind"], row["asset_kind"])
    if row["value"] == "retain":
        return LetterAsset(kind=kind, action="retain", reason=ground_in(row["ground"], language))
    if row["value"] in ("not_present", "suppress"):
        return LetterAsset(kind=kind, action=row["value"])
    if row["value"] == "unlearn":
        return LetterAsset(kind=kind, action="retrain" if tests and tests.level == "L3" else "unlearn")
    receipt = json.loads(task["receipt"] or "{}") if task is not None else {}
    if kind == "downstream" and task is not None:
        words, day, is_done = phrases(language), receipt.get("notice_on") or "", task["state"] == "done"
        if not day and not is_done:
            return LetterAsset(kind=kind, action="failed", reason=words["no_notice"])
        reason = words["confirmed" if is_done else "unconfirmed"]
        return LetterAsset(kind=kind, action="notify", date=day, reason=reason)
    if task is not None and task["state"] == "dated" and task["due_on"]:
        return LetterAsset(kind=kind, action="due", date=task["due_on"])
    if str(receipt.get("note", "")).startswith("stays"):
        return LetterAsset(kind=kind, action="retain", reason=phrases(language)["stays_below"])
    nothing = str(receipt.get("note", "")).startswith("nothing")
    return LetterAsset(kind=kind, action="not_present" if nothing else "erase")


def _tests(s: DeskSession, request_id: str) -> LetterTests | None:
    """What the letter says of the tests; None where no model was changed."""
    from expunge.evidence.letter_tests import tests_of
    from expunge.evidence.verification import read_certificate

    row = request_row(s, request_id)
    plan = latest_plan(s, row["batch_id"])
    certificate = certificate_row(s, request_id)
    if plan is None or plan["kind"] not in CHANGED_MODEL or certificate is None:
        return None
    if certificate["is_signed"]:
        envelope, predicate = read_certificate(certificate_file(s.desk, certificate))
        if envelope.digest != certificate["digest"]:
            raise InputError("certificate", "on disk is not the registered one", "restore it")
        return tests_of(predicate)
    return _unsigned(s, request_id, plan, certificate)


def _unsigned(s: DeskSession, request_id: str, plan: RowMapping, certificate: RowMapping) -> LetterTests:
    """The tests of an audit that nobody signed for."""
    from expunge.audit.redaction import redact
    from expunge.audit.schema import load_audit
    from expunge.evidence.certificate import COMPARISONS
    from expunge.evidence.letter_tests import LetterTests

    several = len(content_of(plan)["requests"]) > 1
    file = s.desk.runs / plan["hash"][:16] / audit_folder(request_id, several) / "audit.json"
    registered = read_object(certificate_file(s.desk, certificate))["audit"]["digest"]
    if digest_file(file) != registered:
        raise InputError(str(file), "is not the registered audit", "restore it")
    audit = load_audit(file)
    comparison: Any = COMPARISONS[audit.assurance.level] if audit.assurance else "controls"
    level: Literal["L0", "L1"] = "L0" if plan["kind"] == "suppress" else "L1"
    made = moment(certificate["at"]).date().isoformat()
    return LetterTests(redact(audit, registered).results, comparison, level, made=made, checked_by="nobody")


def _head(s: DeskSession) -> str:
    """The signed head of the Merkle log, or, without keys, that of the audit log."""
    if s.settings.certificates is not None:
        from expunge.desk.signing import merkle_log

        log = merkle_log(s.desk.folder, s.settings.certificates)
        if log.exists:
            return log.read().head.short
    head = read_head(s.conn)
    return f"{head.seq}:{head.hash}"


def _reason(s: DeskSession, request_id: str) -> str:
    """The reviewer's reason to cancel, which the person is told."""
    query = select(t.reason).where(t.reason.c.request_id == request_id, t.reason.c.event == "cancel")
    row = s.conn.execute(query.order_by(t.reason.c.id.desc())).mappings().first()
    if row is None or row["ciphertext"] is None:
        return ""
    return s.keys.decrypt(row["ciphertext"], ("reason", "ciphertext", row["id"]), row["key_id"])


def _other(s: DeskSession, row: RowMapping) -> str:
    if row["duplicate_of"] is None or row["ended_as"] != "duplicate":
        return ""
    return str(request_row(s, row["duplicate_of"])["reference"])
