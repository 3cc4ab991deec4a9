"""The table of people who sign in at an identity provider: which subject of which issuer is which person."""

from __future__ import annotations

from sqlalchemy import Column, LargeBinary, String, Table

from expunge.desk.log_tables import AT, DIGEST, ID, META

oidc_account = Table(
    "oidc_account",
    META,
    Column("id", ID, primary_key=True),
    Column("person", String(80), nullable=False, unique=True),
    Column("ciphertext", LargeBinary),  # issuer and subject; empty once an admin ended it
    Column("key_id", String(8)),
    Column("digest", DIGEST, unique=True),  # keyed digest of the same, to find it
    Column("stamp", ID, nullable=False),  # new with every change, so that sessions from before are over
    Column("at", AT, nullable=False),
)
ALL: tuple[Table, ...] = (oidc_account,)
