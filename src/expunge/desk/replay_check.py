"""Compares the rows of the database with the state to which the audit log leads.

The log cannot be changed unseen; the rows can, by whoever writes SQL. What was changed behind the log is found here.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterator

from sqlalchemy import Connection, select

from expunge.desk import tables as t
from expunge.desk.plans import TAG
from expunge.desk.replay import RUN_FIELDS, LogReplay, replay
from expunge.desk.replay_dates import date_problems
from expunge.desk.seal_check import seal_problems


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
