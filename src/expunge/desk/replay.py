"""Replays the audit log through the table of the lifecycle and compares the outcome with the rows of the database.

The log cannot be changed unseen; the rows can, by whoever writes SQL. What was changed behind the log is found here.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select

from expunge.desk import tables as t
from expunge.desk.keys import parse_body
from expunge.desk.lifecycle import ENDED_EARLY, EVENTS, IN_BATCH, PREVIOUS, START, rows_for
from expunge.desk.plans import TAG
from expunge.desk.replay_dates import LoggedDates, date_problems
from expunge.desk.seal_check import LogSeals, seal_problems
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


def replay_problems(conn: Connection) -> list[str]:
    """Where rows of the database say something else than the log, a clause each."""
    made = replay(conn.execute(select(t.event_log).order_by(t.event_log.c.seq)).mappings())
    parts = (_requests(made, conn), _plans_and_runs(made, conn), _people(made, conn), _parts(made, conn))
    lines = itertools.chain(made.problems, *parts, date_problems(made.dates, conn), seal_problems(made.seals, conn))
    return list(dict.fromkeys(lines))


def _requests(made: LogReplay, conn: Connection) -> Iterator[str]:
    seen = set()
    for row in conn.execute(select(t.request)).mappings():
        seen.add(row["id"])
        logged = made.requests.get(row["id"])
        if logged is None:
            yield f"request {row['reference']} is in no row of the log"
            continue
        pairs = {
            "state": (row["state"], logged["state"]),
            "state before": (row["previous"], logged["previous"]),
            "early end": (row["ended_as"], logged["ended_as"]),
            "identity": (row["identity_verified_at"] is not None, "verified" in logged),
            "policy": (row["regime"], logged.get("regime")),
            "digest of the policy": (row["regime_digest"], logged.get("regime_digest")),
            "promotion": (row["promoted_at"] is not None, bool(logged.get("promoted"))),
            "batch": (row["batch_id"], logged.get("batch")),
            "extension": (row["extended_until"], logged.get("extended_until")),
            "confirmation of receipt": (row["acknowledged_at"] is not None, bool(logged.get("acknowledged"))),
            "purge": (row["purged_at"] is not None, bool(logged.get("purged"))),
            "end of the record period": (row["records_ended_at"] is not None, bool(logged.get("over"))),
        }
        if "verified" in logged:
            pairs["way of identification"] = ((row["identity_method"], row["identity_level"]), logged["verified"])
        for what, (here, there) in pairs.items():
            if here != there:
                yield f"request {row['reference']}: its {what} is {here}, and the log has {there}"
    for request_id in sorted(set(made.requests) - seen):
        yield f"request {request_id} of the log is gone"


def _plans_and_runs(made: LogReplay, conn: Connection) -> Iterator[str]:
    for row in conn.execute(select(t.plan)).mappings():
        logged = made.plans.get(row["hash"])
        if logged is None:
            yield f"plan {row['hash'][:16]} is in no row of the log"
            continue
        for column, there in logged.items():
            if row[column] != there:
                yield f"plan {row['hash'][:16]}: its {column} is {row[column]}, and the log has {there}"
        if hashlib.sha256(TAG + row["content"].encode()).hexdigest() != row["hash"]:
            yield f"plan {row['hash'][:16]}: its content is another one"
    for row in conn.execute(select(t.run)).mappings():
        facts = made.runs.get(row["id"], {})
        for column in RUN_FIELDS.values():
            if column == "single_person" and column not in facts:  # earlier rows do not say it
                continue
            if row[column] != facts.get(column):
                yield f"run {row['id']}: its {column} is {row[column]}, and the log has {facts.get(column)}"
        if (row["certificate_verified_at"] is not None) != bool(facts.get("verified")):
            yield f"run {row['id']}: whether its certificate verified is not what the log has"
    for row in conn.execute(select(t.certificate)).mappings():
        if made.certificates.get(row["digest"], not row["verified_at"]) != bool(row["verified_at"]):
            yield f"certificate {row['digest'][:16]}: whether it verified is not what the log has"
        if row["auditor"] != made.auditors.get(row["digest"]):
            yield f"certificate {row['digest'][:16]}: its auditor is not the one of the log"
        if row["digest"] not in made.certificates:
            yield f"certificate {row['digest'][:16]} is in no row of the log"
    for row in conn.execute(select(t.model_alias)).mappings():
        if row["digest"] != made.models.get(row["lineage"]):
            yield f"model {row['lineage']}: the one in use is not the one that the log has"


def _people(made: LogReplay, conn: Connection) -> Iterator[str]:
    rows = conn.execute(select(t.person).where(t.person.c.left_at.is_(None))).mappings()
    here = {row["name"]: sorted(re.findall(r"[a-z]+", row["roles"])) for row in rows}
    for name in sorted({*here, *made.people}):
        if here.get(name) != (sorted(made.people[name]) if name in made.people else None):
            yield f"person {name}: the roles are not those that the log has"


def _parts(made: LogReplay, conn: Connection) -> Iterator[str]:
    references: dict[str, str] = dict(conn.execute(select(t.request.c.id, t.request.c.reference)).tuples().all())
    for row in conn.execute(select(t.decision)).mappings():
        here = (row["value"], row["ground"] or "", row["person"], row["is_final"])
        if made.decisions.get((row["request_id"], row["asset_id"])) != here:
            yield f"request {references.get(row['request_id'])}: a decision is not the one that the log has"
    for row in conn.execute(select(t.identifier)).mappings():
        if (row["verified_at"] is not None) != (row["id"] in made.identifiers):
            yield f"request {references.get(row['request_id'])}: whether an identifier was shown is not in the log"
    for row in conn.execute(select(t.match)).mappings():
        state = made.matches.get(row["id"])
        settled = row["state"] in ("confirmed", "rejected")
        if (state is None and settled) or (state is not None and row["state"] != state):
            yield f"request {references.get(row['request_id'])}: a match is {row['state']}, and the log has {state}"
    for row in conn.execute(select(t.task)).mappings():
        if (state := made.tasks.get(row["id"])) is not None and row["state"] != state:
            yield f"request {references.get(row['request_id'])}: a task is {row['state']}, and the log has {state}"
    for row in conn.execute(select(t.outbox)).mappings():
        if (row["accepted_at"] is not None) != ((row["id"], "letter.accept") in made.letters):
            yield f"request {references.get(row['request_id'])}: whether its letter went out is not what the log has"
        if (row["withdrawn_at"] is not None) != ((row["id"], "letter.withdraw") in made.letters):
            yield f"request {references.get(row['request_id'])}: whether a letter is withdrawn is not what the log has"
