"""The schema by numbered steps. A step never changes once it was released; a change of the tables is a further step."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, inspect, text

from expunge.desk import evidence_tables, oidc_tables, tables, web_tables
from expunge.errors import InputError

APPEND_ONLY = ("event_log", "applied", "identity_attempt")
Step = Callable[[Connection], None]


def _first(conn: Connection) -> None:
    tables.META.create_all(conn)
    for name in APPEND_ONLY:
        for statement in triggers(name, conn.dialect.name):
            conn.execute(text(statement))


def _second(conn: Connection) -> None:
    """Certificates, receipts, accounts, tokens, webhooks; a new database has them from the first step."""
    tables.META.create_all(conn, tables=[*evidence_tables.ALL, *web_tables.ALL])


def _third(conn: Connection) -> None:
    """Sign-in at an identity provider."""
    tables.META.create_all(conn, tables=oidc_tables.ALL)


STEPS: tuple[Step, ...] = (_first, _second, _third)


def triggers(name: str, dialect: str) -> list[str]:
    """Statements that make a table append-only; on PostgreSQL also against TRUNCATE."""
    if dialect == "sqlite":
        return [
            f"CREATE TRIGGER {name}_no_{what.lower()} BEFORE {what} ON {name} "
            f"BEGIN SELECT RAISE(ABORT, '{name} is append-only'); END"
            for what in ("UPDATE", "DELETE")
        ]
    return [
        f"CREATE OR REPLACE FUNCTION {name}_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{name} is append-only'; END $$",
        f"CREATE TRIGGER {name}_no_update BEFORE UPDATE OR DELETE ON {name} "
        f"FOR EACH ROW EXECUTE FUNCTION {name}_refuse()",
        f"CREATE TRIGGER {name}_no_truncate BEFORE TRUNCATE ON {name} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {name}_refuse()",
    ]


def missing_triggers(conn: Connection) -> list[str]:
    """Names of append-only triggers that are not there."""
    sqlite = conn.dialect.name == "sqlite"
    query = (
        "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        if sqlite
        else "SELECT tgname FROM pg_trigger WHERE tgenabled <> 'D'"
    )
    there = set(conn.execute(text(query)).scalars())
    ends = ("no_update", "no_delete") if sqlite else ("no_update", "no_truncate")
    return [full for name in APPEND_ONLY for end in ends if (full := f"{name}_{end}") not in there]


def version_of(conn: Connection) -> int:
    """Number of the last step that ran; 0 for an empty database."""
    if not inspect(conn).has_table("schema_version"):
        return 0
    return int(conn.execute(text("SELECT number FROM schema_version")).scalar_one())


def migrate(conn: Connection) -> int:
    """Run the steps that are open, in the caller's transaction, and return the version.

    Raises:
        InputError: a newer version of expunge wrote the database.
    """
    version = version_of(conn)
    if version > len(STEPS):
        what = f"has schema version {version}, and this version of expunge knows {len(STEPS)}"
        raise InputError("database", what, "use the newer version of expunge")
    if version == len(STEPS):
        return version
    for step in STEPS[version:]:
        step(conn)
    if version == 0:
        conn.execute(text("CREATE TABLE schema_version (number INTEGER NOT NULL)"))
        conn.execute(text("INSERT INTO schema_version VALUES (:number)"), {"number": len(STEPS)})
    else:
        conn.execute(text("UPDATE schema_version SET number = :number"), {"number": len(STEPS)})
    return len(STEPS)
