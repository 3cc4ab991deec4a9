"""What a desk puts into its Merkle log: plans before they run, every audit, certificates, and heads of the audit log.

Entries hold digests and reference numbers. One that is appended twice stands once, so every step may be repeated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlalchemy import Connection, insert, select

from expunge.desk import tables as t
from expunge.desk.desk import Desk, DeskSession
from expunge.desk.event_log import EventHead, read_head
from expunge.desk.facts import request_row
from expunge.desk.plans import content_of, plan_row
from expunge.desk.roles import SYSTEM
from expunge.desk.signing import DeskKeys, load_keys
from expunge.errors import InputError
from expunge.evidence.merkle_log import LogEntry, LogState, make_entry
from expunge.evidence.moments import parse_moment
from expunge.evidence.trust import Trust, head_problems

HEAD_KIND = "log_head"


def append_entries(desk: Desk, keys: DeskKeys, entries: Sequence[LogEntry]) -> LogState:
    """Append entries to the log of the desk, and sign its head."""
    return keys.log.append(entries, keys.log_key, keys.origin, desk.clock())


def references(s: DeskSession, requests: Sequence[str]) -> list[str]:
    """Reference numbers of requests, by which evidence names them."""
    return [str(request_row(s, request_id)["reference"]) for request_id in requests]


def log_plan(desk: Desk, plan_hash: str) -> None:
    """Put a plan into the log, for each of its requests, before anything of it is executed."""
    keys = load_keys(desk.folder, desk.settings)
    if keys is None:
        return
    with desk.reading(SYSTEM) as s:
        names = references(s, content_of(plan_row(s, plan_hash))["requests"])
    append_entries(desk, keys, [make_entry("plan", plan_hash, name, at=desk.clock()) for name in names])


def log_begun_run(desk: Desk, plan_hash: str, run: Path) -> bool:
    """Put what a run has fixed (recipe, policy, model, records) into the log; False while it has not begun.

    A model that is trained again has no such file: its plan alone is logged.
    """
    from expunge.evidence.certificate import plan_digest, plan_of_run

    keys = load_keys(desk.folder, desk.settings)
    if keys is None or not (run / "run.json").is_file():
        return False
    with desk.reading(SYSTEM) as s:
        content = content_of(plan_row(s, plan_hash))
        names = references(s, content["requests"])
    plans = [plan_of_run(run, content["policy"]["digest"], name, plan_hash) for name in names]
    append_entries(desk, keys, [make_entry("plan", plan_digest(p), p.request, at=desk.clock()) for p in plans])
    return True


def log_attempts(desk: Desk, audits: dict[str, str]) -> None:
    """Put audits into the log, passed or not: id of the request -> SHA-256 of its audit.json."""
    keys = load_keys(desk.folder, desk.settings)
    if keys is None:
        return
    with desk.reading(SYSTEM) as s:
        names = references(s, list(audits))
    pairs = zip(names, audits.values(), strict=True)
    append_entries(desk, keys, [make_entry("attempt", digest, name, at=desk.clock()) for name, digest in pairs])


def head_entry(desk: Desk, head: EventHead) -> LogEntry:
    """The entry of a head of the audit log."""
    return make_entry(HEAD_KIND, head.hash, at=desk.clock())


def note_anchor(s: DeskSession, head: EventHead) -> None:
    """Note that a head of the audit log is in the Merkle log; a second call changes nothing."""
    if s.conn.execute(select(t.anchor.c.seq).where(t.anchor.c.seq == head.seq)).first() is None:
        s.conn.execute(insert(t.anchor).values(seq=head.seq, hash=head.hash, day=s.today, at=s.at))
        s.log("log.anchor", {"seq": head.seq, "hash": head.hash})


def anchor_daily(desk: Desk) -> bool:
    """Put the head of the audit log into the Merkle log, once a day; returns whether it did so now."""
    if desk.settings.certificates is None:
        return False
    with desk.reading(SYSTEM) as s:
        if s.conn.execute(select(t.anchor.c.seq).where(t.anchor.c.day == s.today)).first() is not None:
            return False
        head = read_head(s.conn)
    keys = load_keys(desk.folder, desk.settings)
    assert keys is not None
    append_entries(desk, keys, [head_entry(desk, head)])
    with desk.session(SYSTEM) as s:
        note_anchor(s, head)
    return True


def anchor_problems(desk: Desk, conn: Connection) -> list[str]:
    """Where the audit log and the heads of it in the Merkle log differ, a clause each; empty without keys."""
    wanted = desk.settings.certificates
    if wanted is None:
        return []
    try:
        keys = load_keys(desk.folder, desk.settings)
        assert keys is not None
        count = len(conn.execute(select(t.anchor.c.seq)).all())
        if not keys.log.exists:
            return [f"the Merkle log is gone, and {count} heads were put into it"] if count else []
        state = keys.log.read()
        return [*_head_problems(keys, state), *_differences(conn, state)]
    except InputError as error:
        return [f"{error.where}: {error.what}"]


def _head_problems(keys: DeskKeys, state: LogState) -> Iterator[str]:
    trust: Trust = keys.trust("0" * 64, single_person=False)
    for problem in head_problems(state.envelope, trust, parse_moment(state.head.at)):
        yield f"the Merkle log: {problem}"


def _differences(conn: Connection, state: LogState) -> Iterator[str]:
    places = {row.hash: row.seq for row in conn.execute(select(t.event_log.c.seq, t.event_log.c.hash))}
    logged, last = set(), 0
    for number, entry in enumerate(state.entries):
        if entry.kind != HEAD_KIND:
            continue
        logged.add(entry.digest)
        seq = places.get(entry.digest)
        if seq is None:
            yield f"entry {number} of the Merkle log is a head that this log does not have: it was cut or written anew"
        elif seq < last:
            yield f"entry {number} of the Merkle log is an earlier head than the one before it"
        last = max(last, seq or 0)
    for row in conn.execute(select(t.anchor).order_by(t.anchor.c.seq)).mappings():
        if row["hash"] not in logged:
            yield f"the head of row {row['seq']} is not in the Merkle log any more: that log was cut or written anew"
