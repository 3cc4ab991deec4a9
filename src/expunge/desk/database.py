"""The database: SQLite on a local disk by default, PostgreSQL by URL; one writer at a time on both."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from expunge.desk.roles import Refusal
from expunge.errors import InputError, RunFailed, first_line

BUSY_SECONDS = 60
PATIENCE = "-c idle_in_transaction_session_timeout=45s -c lock_timeout=60s"  # a frozen process holds nobody up
RESTORE = "restore a copy of it, and check the log with a head that was kept elsewhere"
GONE = "nothing was changed; bring the database back and start the same command again"


def read_url(text: str) -> URL:
    """A database URL; `InputError` for one that is neither SQLite nor PostgreSQL. Passwords are never shown."""
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise InputError("database", "is no database URL", "for example postgresql://user@host/expunge") from error
    if url.get_backend_name() == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() == "sqlite":
        return url
    raise InputError("database", f"{url.get_backend_name()} is not supported", "use SQLite or PostgreSQL")


def open_engine(url: URL) -> Engine:
    """An engine with the rules of the desk; it connects when it is first used."""
    if url.get_backend_name() == "sqlite":
        if url.database and url.database != ":memory:":
            create_private(Path(url.database))
        engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    try:
        return create_engine(url, pool_pre_ping=True, connect_args={"options": PATIENCE})
    except ModuleNotFoundError as error:
        hint = "pip install 'psycopg[binary]'"
        raise InputError("database", "PostgreSQL needs a driver that is not installed", hint) from error


def create_private(path: Path) -> None:
    """An empty file for its owner alone, unless it is there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise InputError(
            str(path), f"could not be opened ({error.strerror})", "check folder and permissions"
        ) from error


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the desk begins its transactions itself
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA secure_delete = ON")  # purged ciphertext leaves the pages
    cursor.close()


def _begin_sqlite(conn: Connection) -> None:
    reads = conn.get_execution_options().get("reads_only")
    conn.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


@contextmanager
def transaction(engine: Engine, *, reads_only: bool = False) -> Iterator[Connection]:
    """A transaction, committed at the end and rolled back after an error.

    Raises:
        Refusal: a constraint is broken, or the log refuses a change (kind `conflict`).
        RunFailed: the database is gone, locked, full, or damaged.
    """
    try:
        with engine.connect().execution_options(reads_only=reads_only) as conn, conn.begin():
            yield conn
    except DBAPIError as error:
        raise _as_input_error(error) from error
    except SQLAlchemyError as error:
        raise RunFailed("database", first_line(error), GONE) from error
    except UnicodeDecodeError as error:  # of the driver, which reads the text of a damaged file
        raise RunFailed("database", "holds what is no text: its file is damaged", RESTORE) from error


def _as_input_error(error: DBAPIError) -> InputError:
    """One line for what the database says; it never shows the values of a statement."""
    kind, text = type(error.orig).__name__, first_line(error.orig) if error.orig else "no answer"
    if "append-only" in text:
        return Refusal("log", "is append-only", "nothing was changed", kind="conflict")
    if kind in ("IntegrityError", "UniqueViolation", "ForeignKeyViolation", "CheckViolation"):
        return Refusal("database", "holds this already, or what it refers to is gone", kind="conflict")
    return RunFailed("database", f"did not answer ({kind}: {text.splitlines()[0][:120]})", GONE)
