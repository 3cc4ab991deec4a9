"""The triggers of a desk's database: those that make tables append-only, and no others."""

from __future__ import annotations

from sqlalchemy import Connection, text

from expunge.desk.log_tables import META

APPEND_ONLY = ("event_log", "applied", "identity_attempt")


def triggers(name: str, dialect: str) -> dict[str, str]:
    """Name of a trigger -> the statement that makes it; together they make a table append-only."""
    if dialect == "sqlite":
        return {
            f"{name}_no_{what.lower()}": f"CREATE TRIGGER {name}_no_{what.lower()} BEFORE {what} ON {name} "
            f"BEGIN SELECT RAISE(ABORT, '{name} is append-only'); END"
            for what in ("UPDATE", "DELETE")
        }
    refuse = f"ON {name} FOR EACH {{}} EXECUTE FUNCTION {name}_refuse()"
    return {
        f"{name}_no_update": f"CREATE TRIGGER {name}_no_update BEFORE UPDATE OR DELETE {refuse.format('ROW')}",
        f"{name}_no_truncate": f"CREATE TRIGGER {name}_no_truncate BEFORE TRUNCATE {refuse.format('STATEMENT')}",
    }


def make_append_only(conn: Connection, name: str) -> None:
    """Add the triggers of a table; on PostgreSQL also against TRUNCATE."""
    if conn.dialect.name != "sqlite":
        refuse = f"CREATE OR REPLACE FUNCTION {name}_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        conn.execute(text(f"{refuse} $$ BEGIN RAISE EXCEPTION '{name} is append-only'; END $$"))
    for statement in triggers(name, conn.dialect.name).values():
        conn.execute(text(statement))


def trigger_problems(conn: Connection) -> list[str]:
    """Triggers that are gone or another one, and those that the desk did not make, a clause each."""
    here = _triggers_of(conn)
    wanted = {key: sql for name in APPEND_ONLY for key, sql in triggers(name, conn.dialect.name).items()}
    gone = [f"the trigger {key} is gone" for key in wanted if key not in here]
    changed = [f"the trigger {key} is another one" for key, sql in wanted.items() if here.get(key, sql) != sql]
    return gone + changed + [f"the trigger {key} is none of the desk" for key in sorted(here.keys() - wanted.keys())]


def _triggers_of(conn: Connection) -> dict[str, str]:
    """Name -> statement of each trigger on a table of the desk; PostgreSQL words them its own way: in ours there."""
    if conn.dialect.name == "sqlite":
        rows = conn.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))
        return {str(name): str(sql) for name, sql in rows.tuples()}
    query = (
        "SELECT g.tgname, c.relname FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid "
        "WHERE NOT g.tgisinternal AND g.tgenabled <> 'D' AND c.relnamespace = current_schema()::regnamespace"
    )
    there = conn.execute(text(query)).tuples().all()
    return {
        str(name): triggers(str(table), "postgresql").get(name, "") for name, table in there if table in META.tables
    }
