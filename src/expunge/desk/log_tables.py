"""Tables of the desk itself: the audit log, people, workers and leases."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Integer, MetaData, String, Table, Text

META = MetaData()
ID, AT, DAY, DIGEST = String(36), String(27), String(10), String(64)

lease = Table(
    "lease",
    META,
    Column("work", String(120), primary_key=True),
    Column("worker", String(80), nullable=False),
    Column("fence", Integer, nullable=False),
    Column("takeovers", Integer, nullable=False),
    Column("at", AT, nullable=False),
    Column("host", String(80)),
    Column("pid", Integer),
    Column("pid_started", String(24)),
)

worker = Table(
    "worker",
    META,
    Column("id", String(80), primary_key=True),
    Column("host", String(80), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", String(40), nullable=False),
    Column("abilities", Text, nullable=False),
    Column("started_at", AT, nullable=False),
    Column("heartbeat_at", AT, nullable=False),
    Column("stopped_at", AT),
)

event_log = Table(
    "event_log",
    META,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", AT, nullable=False),
    Column("actor", String(80), nullable=False),
    Column("role", String(12), nullable=False),
    Column("request_id", ID, index=True),
    Column("type", String(60), nullable=False),
    Column("body", Text, nullable=False),
    Column("body_digest", DIGEST, nullable=False),
    Column("prev_hash", DIGEST, nullable=False),
    Column("hash", DIGEST, nullable=False, unique=True),
)

log_head = Table(
    "log_head",
    META,
    Column("id", Integer, primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("hash", DIGEST, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)

applied = Table(
    "applied", META, Column("event_id", String(200), primary_key=True), Column("seq", Integer, nullable=False)
)

person = Table(
    "person",
    META,
    Column("name", String(80), primary_key=True),
    Column("roles", Text, nullable=False),
    Column("at", AT, nullable=False),
    Column("left_at", AT),
)
