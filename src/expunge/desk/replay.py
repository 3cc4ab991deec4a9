"""Replays the audit log through the table of the lifecycle: the state to which its rows lead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from expunge.desk.keys import parse_body
from expunge.desk.lifecycle import ENDED_EARLY, EVENTS, IN_BATCH, PREVIOUS, START, rows_for
from expunge.desk.replay_dates import LoggedDates
from expunge.desk.seal_check import LogSeals
from expunge.errors import InputError

RUN_FIELDS = {  # key of a log row -> column of a run
    "single_person": "single_person",
    "output": "output_digest",
    "manifest": "manifest_digest",
    "status": "audit_status",
    "audit": "audit_digest",
    "guard": "guard_status",
    "certificate": "certificate_digest",
}
NOT_APPROVED = {"approved_at": None, "promotion_approved_at": None}
Row = Mapping[Any, Any]


@dataclass
class LogReplay:
    """What the log says the desk should hold; each part by the id of its row."""

    requests: dict[str, dict[str, Any]] = field(default_factory=dict)
    batches: dict[str, str] = field(default_factory=dict)  # batch -> its newest plan
    plans: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    people: dict[str, list[str]] = field(default_factory=dict)
    decisions: dict[tuple[str, str], tuple[str, str, str, int]] = field(default_factory=dict)
    identifiers: set[str] = field(default_factory=set)  # that were shown
    matches: dict[str, str] = field(default_factory=dict)
    tasks: dict[str, str] = field(default_factory=dict)
    letters: set[tuple[str, str]] = field(default_factory=set)  # letter, what became of it
    certificates: dict[str, bool] = field(default_factory=dict)  # digest -> whether it verified
    auditors: dict[str, str] = field(default_factory=dict)  # digest of a certificate -> who signed it
    dates: LoggedDates = field(default_factory=LoggedDates)
    seals: LogSeals = field(default_factory=LogSeals)
    problems: list[str] = field(default_factory=list)


def replay(rows: Iterable[Row]) -> LogReplay:
    """The state that the rows of the log lead to, and what the lifecycle does not allow in them.

    Args:
        rows: rows of `event_log`, in order.
    """
    made = LogReplay()
    for row in rows:
        try:
            body = parse_body(row["body"])
            made.dates.note(row, body)
            made.seals.note(row, body)
            kind, _, name = str(row["type"]).partition(".")
            if kind == "request" and (name in EVENTS or name in ("identity", "extend", "purge", "acknowledge")):
                _request(made, row, name, body)
            elif (one := OTHERS.get(row["type"])) is not None:
                one(made, row, body)
        except (InputError, KeyError, TypeError, AttributeError):
            made.problems.append(f"row {row['seq']} cannot be read")
    return made


def _request(made: LogReplay, row: Row, event: str, body: dict[str, Any]) -> None:
    request = made.requests.setdefault(row["request_id"], {"state": START, "previous": None, "ended_as": None})
    if event == "identity":
        if body["success"]:
            request.setdefault("verified", (body["method"], body["level"]))
            made.identifiers |= set(body["identifiers"])
    elif event == "extend":
        request["extended_until"] = body["until"]
    elif event == "acknowledge":
        request["acknowledged"] = True
    elif event == "purge" and "from" not in body:  # of the record, after it was closed
        request["purged"] = True
    else:
        _transition(made, row, event, body, request)


def _transition(made: LogReplay, row: Row, event: str, body: dict[str, Any], request: dict[str, Any]) -> None:
    source, target = body["from"], body["to"]
    if event == "submit":
        request |= {"regime": body["regime"], "regime_digest": body["digest"]}
    if source != request["state"]:
        made.problems.append(f"row {row['seq']}: {event} from {source}, and the log had led to {request['state']}")
    lines = [r for r in rows_for(source, event) if row["role"] in r.roles]
    targets = {request["previous"] if r.target == PREVIOUS else r.target for r in lines}
    if target not in targets:
        made.problems.append(f"row {row['seq']}: the lifecycle has no {event} from {source} to {target} for this role")
        return
    line = next(r for r in lines if (request["previous"] if r.target == PREVIOUS else r.target) == target)
    if line.target == PREVIOUS:
        request["previous"] = None
    if "remember_state" in line.effects:
        request["previous"] = "waiting" if event == "hold" and source in IN_BATCH else source
    if target in ENDED_EARLY:
        request["ended_as"] = target
    if "leave_batch" in line.effects:
        request["batch"] = None
    if event == "promote":
        request["promoted"] = True
    if event in ("approve_plan", "approve_promotion"):
        column = "approver" if event == "approve_plan" else "promotion_approver"
        plan = made.plans.get(made.batches.get(request.get("batch") or "", ""))
        if plan is not None:
            plan[column] = row["actor"]
            plan[f"{column.removesuffix('approver')}approved_at"] = row["at"]
    request["state"] = target


def _join(made: LogReplay, row: Row, body: dict[str, Any]) -> None:
    made.requests[row["request_id"]]["batch"] = body["batch"]


def _end(made: LogReplay, row: Row, body: dict[str, Any]) -> None:
    made.requests[row["request_id"]]["over"] = True


def _plan(made: LogReplay, row: Row, body: dict[str, Any]) -> None:
    made.batches[body["batch"]] = body["plan"]
    names = {"batch": "batch_id", "number": "number", "kind": "kind", "author": "author"}
    fixed = {column: body[key] for key, column in names.items() if key in body}  # earlier rows name no author
    made.plans[body["plan"]] = {**fixed, "approver": None, "promotion_approver": None, **NOT_APPROVED}


def _run(made: LogReplay, row: Row, body: dict[str, Any]) -> None:
    run = made.runs.setdefault(body["run"], {})
    run |= {RUN_FIELDS[key]: value for key, value in body.items() if key in RUN_FIELDS}
    if row["type"] == "run.verified" or body.get("verified"):
        run["verified"] = True


def _model(made: LogReplay, row: Row, body: dict[str, Any]) -> None:
    made.models[body["lineage"]] = body.get("after") or body["digest"]


def _person(made: LogReplay, row: Row, body: dict[str, Any]) -> None:
    if row["type"] == "person.set":
        made.people[body["person"]] = list(body["roles"])
    else:
        made.people.pop(body["person"], None)


def _decision(made: LogReplay, row: Row, body: dict[str, Any]) -> None:
    decided = (body["value"], body.get("ground") or "", row["actor"], int(body["final"]))
    made.decisions[row["request_id"], body["asset"]] = decided


def _match(made: LogReplay, row: Row, body: dict[str, Any]) -> None:
    made.matches[body["match"]] = body["state"]


def _task(made: LogReplay, row: Row, body: dict[str, Any]) -> None:
    made.tasks[body["task"]] = body.get("state", "done")


def _letter(made: LogReplay, row: Row, body: dict[str, Any]) -> None:
    made.letters.add((body["letter"], row["type"]))


def _certificate(made: LogReplay, row: Row, body: dict[str, Any]) -> None:
    is_signature = row["type"] == "certificate.sign"
    made.certificates[body["certificate"]] = is_signature or not body.get("signed")
    if is_signature:
        made.auditors[body["certificate"]] = row["actor"]


OTHERS = {
    "batch.join": _join,
    "records.end": _end,
    "plan.store": _plan,
    **dict.fromkeys(("run.start", "run.output", "run.verdict", "run.certificate", "run.verified"), _run),
    **dict.fromkeys(("model.register", "model.swap"), _model),
    **dict.fromkeys(("person.set", "person.leave"), _person),
    "decision.set": _decision,
    "match.settle": _match,
    **dict.fromkeys(("task.end", "task.tell", "task.confirm"), _task),
    **dict.fromkeys(("letter.accept", "letter.withdraw"), _letter),
    **dict.fromkeys(("certificate.make", "certificate.sign"), _certificate),
}
