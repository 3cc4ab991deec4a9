"""Tables of what a desk signs: certificates, receipts, and heads of the audit log in the Merkle log."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, String, Table, Text

from expunge.desk.log_tables import AT, DAY, DIGEST, ID, META

certificate = Table(  # one for each request of a run
    "certificate",
    META,
    Column("run_id", ID, ForeignKey("run.id"), primary_key=True),
    Column("request_id", ID, ForeignKey("request.id"), primary_key=True),
    Column("digest", DIGEST, nullable=False),
    Column("path", Text, nullable=False),
    Column("is_signed", Integer, nullable=False),  # 0: nobody signs at this desk
    Column("at", AT, nullable=False),
    Column("verified_at", AT),
    Column("auditor", String(80)),
    Index("certificate_request", "request_id"),
)
receipt = Table(  # signed statements about what followed a certificate
    "receipt",
    META,
    Column("request_id", ID, ForeignKey("request.id"), primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("certificate", DIGEST, primary_key=True),
    Column("digest", DIGEST, nullable=False),
    Column("path", Text, nullable=False),
    Column("at", AT, nullable=False),
)
anchor = Table(  # heads of the audit log that were put into the Merkle log
    "anchor",
    META,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("hash", DIGEST, nullable=False),
    Column("day", DAY, nullable=False, index=True),
    Column("at", AT, nullable=False),
)
ALL: tuple[Table, ...] = (certificate, receipt, anchor)
