"""Tables of sign-in, of the API, and of webhooks. Secrets lie here as hashes, or encrypted by the key ring."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text, UniqueConstraint

from expunge.desk.log_tables import AT, DIGEST, ID, META

account = Table(
    "account",
    META,
    Column("id", ID, primary_key=True),
    Column("person", String(80), nullable=False, unique=True),
    Column("password", Text),  # argon2 hash
    Column("ciphertext", LargeBinary),  # secret of the one-time codes
    Column("key_id", String(8)),
    Column("last_step", Integer, nullable=False),  # newest step of 30 s whose code was used
    Column("failures", Integer, nullable=False),
    Column("locked_until", AT),
    Column("enrol_digest", DIGEST),
    Column("enrol_until", AT),
    Column("enrolled_at", AT),
    Column("changed_at", AT, nullable=False),
)
api_token = Table(
    "api_token",
    META,
    Column("id", ID, primary_key=True),
    Column("digest", DIGEST, nullable=False, unique=True),
    Column("person", String(80), nullable=False),
    Column("role", String(12), nullable=False),
    Column("at", AT, nullable=False),
    Column("ends_at", AT, nullable=False),
    Column("revoked_at", AT),
)
idempotency = Table(
    "idempotency",
    META,
    Column("key_digest", DIGEST, primary_key=True),
    Column("body_digest", DIGEST, nullable=False),
    Column("request_id", ID, ForeignKey("request.id"), nullable=False),
    Column("at", AT, nullable=False),
)
webhook_peer = Table(
    "webhook_peer",
    META,
    Column("id", ID, primary_key=True),
    Column("name", String(40), nullable=False, unique=True),
    Column("url", Text),
    Column("face", String(20), nullable=False),
    Column("every_request", Integer, nullable=False),
    Column("seen_seq", Integer, nullable=False),
    Column("at", AT, nullable=False),
    Column("ended_at", AT),
)
webhook_key = Table(
    "webhook_key",
    META,
    Column("id", ID, primary_key=True),
    Column("peer_id", ID, ForeignKey("webhook_peer.id"), nullable=False, index=True),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("key_id", String(8), nullable=False),
    Column("at", AT, nullable=False),
    Column("ended_at", AT),
)
webhook_in = Table(
    "webhook_in",
    META,
    Column("peer_id", ID, ForeignKey("webhook_peer.id"), primary_key=True),
    Column("message_digest", DIGEST, primary_key=True),
    Column("body_digest", DIGEST, nullable=False),
    Column("request_id", ID, ForeignKey("request.id")),
    Column("sent_at", AT, nullable=False),
    Column("at", AT, nullable=False),
)
webhook_out = Table(
    "webhook_out",
    META,
    Column("id", ID, primary_key=True),
    Column("peer_id", ID, ForeignKey("webhook_peer.id"), nullable=False, index=True),
    Column("request_id", ID, ForeignKey("request.id"), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("at", AT, nullable=False),
    Column("next_at", AT, index=True),
    Column("attempts", Integer, nullable=False),
    Column("delivered_at", AT),
    Column("problem", String(120)),
    UniqueConstraint("peer_id", "seq", name="webhook_once"),
    Index("webhook_of_request", "peer_id", "request_id", "seq"),
)
ALL: tuple[Table, ...] = (account, api_token, idempotency, webhook_peer, webhook_key, webhook_in, webhook_out)
