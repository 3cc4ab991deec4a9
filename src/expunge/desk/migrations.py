"""The schema by numbered steps. A step never changes once it was released; a change of the tables is a further step."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, insert, inspect, text

from expunge.desk import evidence_tables, oidc_tables, tables, web_tables
from expunge.desk.first_seals import seal_all
from expunge.desk.guard_tables import guard_audit
from expunge.desk.keys import KeyRing, parse_body
from expunge.desk.log_triggers import APPEND_ONLY, make_append_only
from expunge.desk.names import new_id
from expunge.desk.regime_texts import regime_text
from expunge.desk.rehearsal_tables import rehearsal
from expunge.desk.stray_reasons import place_reasons
from expunge.errors import InputError

Step = Callable[[Connection, KeyRing | None], None]


def _first(conn: Connection, keys: KeyRing | None) -> None:
    tables.META.create_all(conn)
    for name in APPEND_ONLY:
        make_append_only(conn, name)


def _second(conn: Connection, keys: KeyRing | None) -> None:
    """Certificates, receipts, accounts, tokens, webhooks; a new database has them from the first step."""
    tables.META.create_all(conn, tables=[*evidence_tables.ALL, *web_tables.ALL])


def _third(conn: Connection, keys: KeyRing | None) -> None:
    """How a letter went out becomes a word; what somebody wrote about it moves to the reasons, encrypted."""
    if keys is None or "provider_key" not in {column["name"] for column in inspect(conn).get_columns("outbox")}:
        return
    words = ", ".join(f"'{each}'" for each in tables.CHANNELS)
    conn.execute(text(f"ALTER TABLE outbox ADD COLUMN channel VARCHAR(10) CHECK (channel IN ({words}))"))
    noted = text("SELECT body FROM event_log WHERE type = 'letter.accept' AND role = 'clerk'")
    by_hand = {parse_body(body)["letter"] for body in conn.execute(noted).scalars()}
    rows = conn.execute(text("SELECT id, request_id, accepted_at, provider_key FROM outbox")).mappings().all()
    for row in rows:
        if row["accepted_at"] is not None:
            channel = "by hand" if row["id"] in by_hand else "provider"
            conn.execute(text("UPDATE outbox SET channel = :c WHERE id = :id"), {"c": channel, "id": row["id"]})
            _keep(conn, keys, row["request_id"], row["accepted_at"], str(row["provider_key"] or ""))
    conn.execute(text("ALTER TABLE outbox DROP COLUMN provider_key"))


def _keep(conn: Connection, keys: KeyRing, request_id: str, at: str, words: str) -> None:
    """Put a text among the reasons of a request."""
    row_id = new_id()
    values = {"id": row_id, "request_id": request_id, "at": at, "event": "receipt of a letter"}
    values |= {"key_id": keys.current, "keyed_digest": keys.keyed_digest(words, "reason")}
    sealed = keys.encrypt(words, ("reason", "ciphertext", row_id))
    conn.execute(insert(tables.reason).values(**values, ciphertext=sealed))


def _fourth(conn: Connection, keys: KeyRing | None) -> None:
    """Sign-in at an identity provider."""
    tables.META.create_all(conn, tables=oidc_tables.ALL)


def _fifth(conn: Connection, keys: KeyRing | None) -> None:
    """When the record period of a request was over; a new database has the column from the first step."""
    if "records_ended_at" not in {column["name"] for column in inspect(conn).get_columns("request")}:
        conn.execute(text("ALTER TABLE request ADD COLUMN records_ended_at VARCHAR(27)"))


def _sixth(conn: Connection, keys: KeyRing | None) -> None:
    """Rules by their digest; since when the desk waits for an identity, and whose a reason is, as the log has it."""
    tables.META.create_all(conn, tables=[regime_text])
    _date_questions(conn)
    place_reasons(conn, keys)


def _date_questions(conn: Connection) -> None:
    if "identity_asked_at" in {column["name"] for column in inspect(conn).get_columns("request")}:
        return
    conn.execute(text("ALTER TABLE request ADD COLUMN identity_asked_at VARCHAR(27)"))
    questions = text(
        "SELECT request_id, MAX(at) AS at FROM event_log WHERE type IN ('request.ask_identity', 'request.release') "
        "AND body LIKE :into GROUP BY request_id"
    )
    rows = conn.execute(questions, {"into": '%"to":"identity_pending"%'}).mappings().all()
    if rows:
        conn.execute(text("UPDATE request SET identity_asked_at = :at WHERE id = :request_id"), [dict(r) for r in rows])


def _seventh(conn: Connection, keys: KeyRing | None) -> None:
    """The last message about a request to another desk is found by an index."""
    conn.execute(text("CREATE INDEX IF NOT EXISTS webhook_of_request ON webhook_out (peer_id, request_id, seq)"))


def _eighth(conn: Connection, keys: KeyRing | None) -> None:
    """Letters that are withdrawn, and tries of a provider; a new database has the columns from the first step."""
    known = {column["name"] for column in inspect(conn).get_columns("outbox")}
    times = "VARCHAR(27)"
    wanted = {"withdrawn_at": times, "withdrawn_for": "VARCHAR(20)", "tries": "INTEGER", "next_try_at": times}
    for name, kind in (wanted | {"problem": "VARCHAR(80)"}).items():
        if name not in known:
            conn.execute(text(f"ALTER TABLE outbox ADD COLUMN {name} {kind}"))
    conn.execute(text("CREATE INDEX IF NOT EXISTS letter_waits ON outbox (accepted_at, withdrawn_at)"))


def _ninth(conn: Connection, keys: KeyRing | None) -> None:
    """What was asked of earlier requests after each run."""
    tables.META.create_all(conn, tables=[guard_audit])


def _tenth(conn: Connection, keys: KeyRing | None) -> None:
    """Rehearsals of plans on other people."""
    tables.META.create_all(conn, tables=[rehearsal])


def _eleventh(conn: Connection, keys: KeyRing | None) -> None:
    """The log holds digests of the rows of before."""
    _twelfth(conn, keys)  # the digests are of tables with all of their columns
    seal_all(conn)


def _twelfth(conn: Connection, keys: KeyRing | None) -> None:
    """On which day a letter was posted; a new database has the column from the first step."""
    if "posted_on" not in {column["name"] for column in inspect(conn).get_columns("outbox")}:
        conn.execute(text("ALTER TABLE outbox ADD COLUMN posted_on VARCHAR(10)"))


STEPS: tuple[Step, ...] = (
    _first,
    _second,
    _third,
    _fourth,
    _fifth,
    _sixth,
    _seventh,
    _eighth,
    _ninth,
    _tenth,
    _eleventh,
    _twelfth,
)


def version_of(conn: Connection) -> int:
    """Number of the last step that ran; 0 for an empty database."""
    if not inspect(conn).has_table("schema_version"):
        return 0
    return int(conn.execute(text("SELECT number FROM schema_version")).scalar_one())


def migrate(conn: Connection, keys: KeyRing | None = None) -> int:
    """Run the steps that are open, in the caller's transaction, and return the version.

    Args:
        conn: the transaction.
        keys: the keys of the desk; a new database needs none.

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
        step(conn, keys)
    if version == 0:
        conn.execute(text("CREATE TABLE schema_version (number INTEGER NOT NULL)"))
        conn.execute(text("INSERT INTO schema_version VALUES (:number)"), {"number": len(STEPS)})
    else:
        conn.execute(text("UPDATE schema_version SET number = :number"), {"number": len(STEPS)})
    return len(STEPS)
