"""The table of what was asked of earlier requests after a run."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, String, Table

from expunge.desk.log_tables import AT, DIGEST, ID, META

GUARD_STATES = ("passed", "failed", "inconclusive", "not_run", "no_records", "not_tested")
guard_audit = Table(  # one for each earlier request of a run
    "guard_audit",
    META,
    Column("run_id", ID, ForeignKey("run.id"), primary_key=True),
    Column("request_id", ID, ForeignKey("request.id"), primary_key=True),
    Column("choice", String(8)),  # why it was attacked: worst, random; none for one that was not
    Column("status", String(14), nullable=False),
    Column("digest", DIGEST),  # of its audit.json
    Column("at", AT, nullable=False),
    CheckConstraint(f"status IN ({', '.join(map(repr, GUARD_STATES))})", name="guard_status_known"),
    Index("guard_audit_request", "request_id"),
)
