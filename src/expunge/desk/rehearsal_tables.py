"""The table of rehearsals of plans on other people."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKey, String, Table, Text

from expunge.desk.log_tables import AT, DIGEST, META

OPEN_STATES = ("running", "waiting")  # waiting: a run that people have approved goes first
REHEARSAL_STATES = (*OPEN_STATES, "done", "not_possible", "stopped")
rehearsal = Table(  # one for each plan that a worker tried on others
    "rehearsal",
    META,
    Column("plan_hash", DIGEST, ForeignKey("plan.hash"), primary_key=True),
    Column("state", String(14), nullable=False),
    Column("reason", String(400)),  # why it was not possible; names nobody
    Column("digest", DIGEST),  # of rehearsal.json
    Column("result", Text),  # its content, which stays when the file goes
    Column("started_at", AT, nullable=False),
    Column("ended_at", AT),
    CheckConstraint(f"state IN ({', '.join(map(repr, REHEARSAL_STATES))})", name="rehearsal_state_known"),
)
