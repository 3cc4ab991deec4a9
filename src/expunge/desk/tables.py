"""Tables of the desk in portable types: text keys, CHECK in place of ENUM, UTC text for time, no large arrays."""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from expunge.desk.evidence_tables import anchor, certificate, receipt
from expunge.desk.keys import IDENTIFIER_KINDS
from expunge.desk.lifecycle import STATES
from expunge.desk.log_tables import AT, DAY, DIGEST, ID, META, applied, event_log, lease, log_head, person, worker

__all__ = ["META", "anchor", "applied", "certificate", "event_log", "lease", "log_head", "person", "receipt", "worker"]

ASSET_KINDS = (
    "corpus",
    "weights",
    "adapter",
    "checkpoint",
    "old_weights",
    "cache",
    "vector_index",
    "table",
    "evaluation_set",
    "logs",
    "backup",
    "downstream",
)
DECISIONS = ("erase", "unlearn", "suppress", "retain", "not_present")
GRANTS = ("erase", "unlearn", "suppress")
MATCH_STATES = ("proposed", "ambiguous", "confirmed", "rejected")
TASK_STATES = ("open", "running", "done", "dated", "failed")
PLAN_KINDS = ("unlearn", "drop", "retrain", "suppress", "none")
PLAN_STATES = ("current", "rejected", "void")
BATCH_STATES = ("open", "closed", "done")
CHANNELS = ("by hand", "provider")  # how a letter went out
RUN_STATES = ("running", "finished", "failed", "cancelled")


def _one_of(column: str, values: tuple[str, ...]) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(v) for v in values)})", name=f"{column}_known")


request = Table(
    "request",
    META,
    Column("id", ID, primary_key=True),
    Column("reference", String(16), nullable=False, unique=True),
    Column("state", String(24), nullable=False),
    Column("previous", String(24)),
    Column("regime", String(60), nullable=False),
    Column("regime_digest", DIGEST, nullable=False),
    Column("language", String(8), nullable=False),
    Column("channel", String(12), nullable=False),
    Column("outside_key", DIGEST, unique=True),  # keyed digest of an id that another desk gave
    Column("received_at", AT, nullable=False),
    Column("received_on", DAY, nullable=False),
    Column("acknowledge_by", DAY),
    Column("acknowledged_at", AT),
    Column("due_on", DAY),
    Column("extended_until", DAY),
    Column("identity_asked_at", AT),  # since when the desk waits for the person to show who they are
    Column("identity_verified_at", AT),
    Column("identity_method", String(40)),
    Column("identity_level", String(12)),
    Column("held_at", AT),
    Column("cancel_until", AT),
    Column("batch_id", ID, ForeignKey("batch.id")),
    Column("promoted_at", AT),
    Column("ended_as", String(24)),
    Column("objection_until", DAY),
    Column("closed_at", AT),
    Column("purged_at", AT),
    Column("records_ended_at", AT),
    Column("duplicate_of", ID),
    _one_of("state", STATES),
    Index("request_state_due", "state", "due_on"),
    Index("request_batch", "batch_id"),
)
identifier = Table(
    "identifier",
    META,
    Column("id", ID, primary_key=True),
    Column("request_id", ID, ForeignKey("request.id"), nullable=False, index=True),
    Column("kind", String(16), nullable=False),
    Column("ciphertext", LargeBinary),
    Column("key_id", String(8)),
    Column("blind_index", DIGEST, index=True),
    Column("verified_at", AT),
    _one_of("kind", IDENTIFIER_KINDS),
)
identity_attempt = Table(
    "identity_attempt",
    META,
    Column("id", ID, primary_key=True),
    Column("request_id", ID, ForeignKey("request.id"), nullable=False, index=True),
    Column("at", AT, nullable=False),
    Column("method", String(40), nullable=False),
    Column("level", String(12), nullable=False),
    Column("success", Integer, nullable=False),
    Column("person", String(80), nullable=False),
    Column("document_digest", DIGEST),
)
reason = Table(
    "reason",
    META,
    Column("id", ID, primary_key=True),
    Column("request_id", ID, ForeignKey("request.id"), index=True),
    Column("at", AT, nullable=False),
    Column("event", String(40), nullable=False),
    Column("ciphertext", LargeBinary),
    Column("key_id", String(8)),
    Column("keyed_digest", DIGEST, nullable=False),
)
asset = Table(
    "asset",
    META,
    Column("id", ID, primary_key=True),
    Column("name", String(80), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    Column("connector", String(40), nullable=False),
    Column("settings", Text, nullable=False),
    Column("lineage", String(80)),
    Column("owner", String(80), nullable=False),
    Column("retired_at", AT),
    _one_of("kind", ASSET_KINDS),
)
decision = Table(
    "decision",
    META,
    Column("request_id", ID, ForeignKey("request.id"), primary_key=True),
    Column("asset_id", ID, ForeignKey("asset.id"), primary_key=True),
    Column("value", String(12), nullable=False),
    Column("ground", String(200)),
    Column("searched", DIGEST),  # keyed digest of how it was searched; the text lies among the reasons
    Column("person", String(80), nullable=False),
    Column("at", AT, nullable=False),
    Column("is_final", Integer, nullable=False),
    _one_of("value", DECISIONS),
)
match = Table(
    "match",
    META,
    Column("id", ID, primary_key=True),
    Column("request_id", ID, ForeignKey("request.id"), nullable=False),
    Column("asset_id", ID, ForeignKey("asset.id"), nullable=False),
    Column("object_digest", DIGEST, nullable=False),
    Column("ciphertext", LargeBinary),
    Column("key_id", String(8)),
    Column("how", String(40), nullable=False),
    Column("state", String(10), nullable=False),
    Column("person", String(80)),
    Column("at", AT, nullable=False),
    _one_of("state", MATCH_STATES),
    UniqueConstraint("request_id", "asset_id", "object_digest", name="match_once"),
)
batch = Table(
    "batch",
    META,
    Column("id", ID, primary_key=True),
    Column("lineage", String(80), nullable=False),
    Column("state", String(8), nullable=False),
    Column("opened_at", AT, nullable=False),
    Column("closes_at", AT, nullable=False),
    Column("closed_at", AT),
    _one_of("state", BATCH_STATES),
)
plan = Table(
    "plan",
    META,
    Column("id", ID, primary_key=True),
    Column("hash", DIGEST, nullable=False, unique=True),
    Column("batch_id", ID, ForeignKey("batch.id"), nullable=False, index=True),
    Column("number", Integer, nullable=False),
    Column("kind", String(10), nullable=False),
    Column("content", Text, nullable=False),
    Column("state", String(10), nullable=False),
    Column("author", String(80), nullable=False),
    Column("at", AT, nullable=False),
    Column("approver", String(80)),
    Column("approved_at", AT),
    Column("promotion_approver", String(80)),
    Column("promotion_approved_at", AT),
    Column("swapped_at", AT),
    _one_of("kind", PLAN_KINDS),
    _one_of("state", PLAN_STATES),
    UniqueConstraint("batch_id", "number", name="plan_number"),
)
run = Table(
    "run",
    META,
    Column("id", ID, primary_key=True),
    Column("plan_hash", DIGEST, ForeignKey("plan.hash"), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("state", String(10), nullable=False),
    Column("started_at", AT, nullable=False),
    Column("ended_at", AT),
    Column("cancel_at", AT),
    Column("output_digest", DIGEST),
    Column("manifest_digest", DIGEST),
    Column("audit_status", String(14)),
    Column("audit_digest", DIGEST),
    Column("guard_status", String(14)),
    Column("issued_at", AT),  # time of the certificate, fixed before it is made
    Column("certificate_digest", DIGEST),
    Column("certificate_verified_at", AT),
    Column("single_person", Integer, nullable=False),
    _one_of("state", RUN_STATES),
    UniqueConstraint("plan_hash", "attempt", name="run_attempt"),
)
model_alias = Table(
    "model_alias",
    META,
    Column("lineage", String(80), primary_key=True),
    Column("path", Text, nullable=False),
    Column("digest", DIGEST, nullable=False),
    Column("run_id", ID),
    Column("at", AT, nullable=False),
)
model_version = Table(
    "model_version",
    META,
    Column("digest", DIGEST, primary_key=True),
    Column("lineage", String(80), nullable=False, index=True),
    Column("path", Text, nullable=False),
    Column("parent", DIGEST),
    Column("run_id", ID),
    Column("at", AT, nullable=False),
    Column("purged_at", AT),
)
task = Table(
    "task",
    META,
    Column("id", ID, primary_key=True),
    Column("request_id", ID, ForeignKey("request.id"), nullable=False),
    Column("asset_id", ID, ForeignKey("asset.id"), nullable=False),
    Column("state", String(8), nullable=False),
    Column("due_on", DAY),
    Column("attempts", Integer, nullable=False),
    Column("problem", String(300)),
    Column("receipt", Text),
    Column("at", AT, nullable=False),
    _one_of("state", TASK_STATES),
    UniqueConstraint("request_id", "asset_id", name="task_once"),
)
outbox = Table(
    "outbox",
    META,
    Column("id", ID, primary_key=True),
    Column("request_id", ID, ForeignKey("request.id"), nullable=False),
    Column("template", String(40), nullable=False),
    Column("version", Integer, nullable=False),
    Column("at", AT, nullable=False),
    Column("body_digest", DIGEST),
    Column("accepted_at", AT),
    Column("posted_on", DAY),  # as a clerk says who noted it later
    Column("channel", String(10), _one_of("channel", CHANNELS)),
    Column("withdrawn_at", AT),
    Column("withdrawn_for", String(20)),
    Column("tries", Integer),  # of a provider; none before the first
    Column("next_try_at", AT),  # after a try: none if a clerk posts it
    Column("problem", String(80)),  # of the last try, in words without personal data
    UniqueConstraint("request_id", "template", "version", name="letter_once"),
    Index("letter_waits", "accepted_at", "withdrawn_at"),
)
probe = Table(
    "probe",
    META,
    Column("request_id", ID, ForeignKey("request.id"), primary_key=True),
    Column("asset_id", ID, ForeignKey("asset.id"), primary_key=True),
    Column("file_digest", DIGEST, nullable=False),
    Column("records", Integer, nullable=False),
    Column("until", DAY, nullable=False),
    Column("ground", String(200), nullable=False),
    Column("shredded_at", AT),
)
request_key = Table(
    "request_key",
    META,
    Column("request_id", ID, ForeignKey("request.id"), primary_key=True),
    Column("purpose", String(20), primary_key=True),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("key_id", String(8), nullable=False),
)
