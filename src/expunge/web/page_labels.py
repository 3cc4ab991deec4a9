"""Words of the pages for keys of the desk, and the form of numbers and times. A key without one is shown as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from expunge._printable import visible
from expunge.report.formatting import format_count, format_interval, format_number
from expunge.report.labels import check_label, role_label
from expunge.web.page_formats import clock_time, day, days_left, drawn, duration, said, short, size, urgency

STATES = {
    "received": "Received",
    "identity_pending": "Identity pending",
    "scoping": "Scoping",
    "legal_review": "Legal review",
    "approved": "Approved",
    "partially_approved": "Partially approved",
    "waiting": "Waiting",
    "planned": "Planned",
    "plan_approved": "Plan approved",
    "executing": "Executing",
    "auditing": "Auditing",
    "audit_passed": "Audit passed",
    "audit_failed": "Audit not passed",
    "promotion_approved": "Promotion approved",
    "promoted": "Promoted",
    "purging": "Purging",
    "notified": "Notified",
    "closed": "Closed",
    "on_hold": "On hold",
    "error": "Stopped by an error",
    "denied": "Denied",
    "nothing_held": "Nothing held",
    "cancelled": "Cancelled",
    "revoked": "Revoked",
    "duplicate": "Duplicate",
    "expired": "Expired",
    "fulfilled": "Answer",
    "acknowledgement": "Receipt of the request",
    "identification": "Question who the person is",
    "extension": "The answer is put off",
    # plans, runs, tasks, batches
    "current": "Current",
    "rejected": "Sent back",
    "void": "No longer fits",
    "running": "Running",
    "finished": "Finished",
    "failed": "Failed",
    "open": "Open",
    "done": "Done",
    "dated": "Has a date",
    "ready": "Ready",
    "none": "None",
    "passed": "Passed",
    "not_passed": "Not passed",
    "inconclusive": "Inconclusive",
    "not_run": "Not run",
    "not_tested": "Not tested",
    "no_records": "No records left to ask",
    "proposed": "Proposed",
    "ambiguous": "Ambiguous",
    "confirmed": "Confirmed",
}
TONES = {
    **dict.fromkeys(("audit_passed", "notified", "closed", "done", "passed", "confirmed", "ready", "finished"), "good"),
    **dict.fromkeys(("audit_failed", "error", "failed", "not_passed"), "bad"),
    **dict.fromkeys(
        ("on_hold", "identity_pending", "ambiguous", "inconclusive", "not_run", "no_records", "dated"), "warn"
    ),
    **dict.fromkeys(("planned", "plan_approved", "executing", "auditing", "promotion_approved", "promoted"), "busy"),
    **dict.fromkeys(("purging", "running", "current", "waiting", "proposed"), "busy"),
}
STAGES = (  # the way of a request, and the states of each stage
    ("Identity", ("received", "identity_pending")),
    ("Scope", ("scoping",)),
    ("Review", ("legal_review", "approved", "partially_approved")),
    ("Wait", ("waiting",)),
    ("Plan", ("planned", "plan_approved")),
    ("Run", ("executing",)),
    ("Audit", ("auditing", "audit_passed", "audit_failed", "promotion_approved")),
    ("Release", ("promoted", "purging")),
    ("Answer", ("notified", "closed")),
)
EVENTS = {  # on buttons
    "begin_scoping": "Begin scoping",
    "give_up": "Give up: identity not shown",
    "freeze_scope": "Freeze the scope",
    "decide": "Close the review",
    "hold": "Put on hold",
    "release": "Release from hold",
    "cancel": "Cancel the request",
    "revoke": "Note that the person withdraws",
    "mark_duplicate": "Mark as a duplicate",
    "close": "Close the request",
    "recover": "Go on after the error",
    "suppress_and_disclose": "Suppress and disclose instead",
}
LOG = {  # in the timeline
    "request.submit": "Request received",
    "request.ask_identity": "Identity asked for",
    "request.identity": "Identity attempt noted",
    "request.acknowledge": "Receipt confirmed to the person",
    "request.begin_scoping": "Scoping begun",
    "request.search": "Assets searched",
    "request.freeze_scope": "Scope frozen",
    "request.decide": "Review closed",
    "request.enqueue": "Cancel window opened",
    "request.plan": "Planned",
    "request.approve_plan": "Plan approved",
    "request.reject_plan": "Plan sent back",
    "request.replan": "Plan no longer fits; waits for another",
    "request.start": "Run started",
    "request.finish_run": "Training finished",
    "request.verdict": "Audit verdict",
    "request.retry": "Planned again",
    "request.escalate": "Planned again, by an exact route",
    "request.approve_promotion": "Promotion approved",
    "request.promote": "New model in use",
    "request.purge": "Purge",
    "records.end": "End of the record period",
    "request.notify": "Person notified",
    "request.close": "Closed",
    "request.cancel": "Cancelled",
    "request.revoke": "Withdrawn by the person",
    "request.hold": "Put on hold",
    "request.release": "Released from hold",
    "request.fail": "Stopped by an error",
    "request.recover": "Went on after an error",
    "request.expire": "Expired",
    "request.give_up": "Given up: identity not shown",
    "request.mark_duplicate": "Marked as a duplicate",
    "request.extend": "Answer put off",
    "request.suppress_and_disclose": "Back to review, to suppress",
    "identifier.add": "Identifier noted",
    "match.settle": "Match settled",
    "match.reveal": "Text revealed",
    "clock.confirm": "Clock confirmed after a long silence",
    "decision.set": "Decision on an asset",
    "reason.read": "Reasons read",
    "batch.join": "Joined a batch",
    "task.end": "Purge task ended",
    "task.tell": "Recipient was told",
    "task.confirm": "Purge task settled by hand",
    "letter.queue": "Letter due",
    "probe.keep": "Records kept as probes for later audits",
    "guard.audit": "Attacked again after a later run",
    "probe.shred": "Key of the probes shredded",
    "letter.problem": "Letter must be written by hand",
    "certificate.make": "Certificate made",
    "certificate.sign": "Certificate signed by the auditor",
    "receipt.write": "Receipt written",
    "letter.accept": "Letter posted",
    "letter.withdraw": "Letter withdrawn",
}
DECISIONS = {
    "erase": "Erase",
    "unlearn": "Unlearn",
    "suppress": "Suppress (output filter)",
    "retain": "Keep",
    "not_present": "Not present",
}
KINDS = {
    "corpus": "records",
    "weights": "model",
    "old_weights": "old models",
    "vector_index": "search index",
    "downstream": "copy at a recipient",
    "evaluation_set": "evaluation set",
    "record_number": "record number",
    "birth_date": "birth date",
    "unlearn": "unlearn",
    "drop": "drop the shard",
    "retrain": "retrain the stage",
    "suppress": "suppress",
    "none": "no work on a model",
}
LEVELS = {  # of what a kind of plan reaches when its audit passed
    "unlearn": "L1",
    "drop": "L3",
    "retrain": "L3",
    "suppress": "L0",
}


def state_label(key: str) -> str:
    """A state of a request, plan, run or task."""
    return STATES.get(key, key.replace("_", " "))


def tone(key: str) -> str:
    """The class of a state's color."""
    return TONES.get(key, "idle")


def event_label(key: str) -> str:
    """An event on a button."""
    return EVENTS.get(key, key.replace("_", " ").capitalize())


def log_label(key: str) -> str:
    """A type of the log in a timeline."""
    return LOG.get(key, key.replace(".", ": ").replace("_", " "))


def kind_label(key: str) -> str:
    """A kind of asset, identifier or plan."""
    return KINDS.get(key, key.replace("_", " "))


def decision_label(key: str | None) -> str:
    """A decision on an asset; a dash where there is none."""
    return DECISIONS.get(key, key) if key else "–"


FILTERS: dict[str, Callable[..., Any]] = {
    "state": state_label,
    "tone": tone,
    "event": event_label,
    "log_label": log_label,
    "kind": kind_label,
    "decision": decision_label,
    "day": day,
    "clock": clock_time,
    "left": days_left,
    "urgency": urgency,
    "short": short,
    "duration": duration,
    "bytes": size,
    "number": format_number,
    "count": format_count,
    "interval": format_interval,
    "check": lambda key: said(check_label(key)),
    "said": said,
    "drawn": drawn,
    "model_role": role_label,
    "visible": visible,
}
