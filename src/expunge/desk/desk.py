"""A desk: its folder, database and keys, and sessions in which a person acts in one role."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, insert

from expunge.desk.database import open_engine, read_url, transaction
from expunge.desk.deadlines import day_in
from expunge.desk.event_log import append, hold_head
from expunge.desk.keys import KeyRing
from expunge.desk.migrations import STEPS, migrate, version_of
from expunge.desk.names import new_id, stamp
from expunge.desk.regime import Regime, load_regime
from expunge.desk.regime_texts import rules_of
from expunge.desk.roles import Actor
from expunge.desk.row_seals import FIELD, TYPE, RowWatch, taken_seals
from expunge.desk.settings import FILE, DeskSettings
from expunge.desk.tables import reason as reasons
from expunge.errors import InputError

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The time of this machine."""
    return datetime.now(UTC)


@dataclass
class DeskSession:
    """One transaction of one actor. Every service function takes it first."""

    desk: Desk
    conn: Connection
    actor: Actor
    now: datetime
    to_delete: list[Path] = field(default_factory=list)

    @property
    def keys(self) -> KeyRing:
        return self.desk.keys

    @property
    def settings(self) -> DeskSettings:
        return self.desk.settings

    @property
    def at(self) -> str:
        """The time of the session as it is stored."""
        return stamp(self.now)

    @property
    def today(self) -> str:
        """The day in the controller's time zone."""
        return day_in(self.now, self.settings.time_zone).isoformat()

    def regime(self, key: str) -> Regime:
        """A regime as its file has it now, also of the desk's own folder: for a new request."""
        return load_regime(key, self.desk.policies)

    def rules_of(self, row: RowMapping) -> Regime:
        """The regime under which a request was opened, whatever its file says now; `LostRules` if nothing has it."""
        return rules_of(self.conn, self.desk.policies, row["regime"], row["regime_digest"])

    def log(self, type_: str, body: dict[str, Any], request_id: str | None = None, event_id: str | None = None) -> None:
        """Append to the audit log."""
        if rows := taken_seals(self.conn):
            body = {**body, FIELD: rows}
        append(self.conn, self.now, self.actor, type_, body, request_id, event_id)

    def delete_files(self, files: Iterable[Path]) -> None:
        """Delete files and folders once the transaction is committed: one that is undone leaves them as they are."""
        self.to_delete.extend(files)

    def keep_reason(self, text: str, event: str, request_id: str) -> str:
        """Store a reason of a request encrypted, which goes with the request; returns its keyed digest for the log."""
        row_id, digest = new_id(), self.keys.keyed_digest(text, "reason")
        self.conn.execute(
            insert(reasons).values(
                id=row_id,
                request_id=request_id,
                at=self.at,
                event=event,
                ciphertext=self.keys.encrypt(text, ("reason", "ciphertext", row_id)),
                key_id=self.keys.current,
                keyed_digest=digest,
            )
        )
        return digest


@dataclass
class Desk:
    """An open desk. `clock` is replaced in tests."""

    folder: Path
    settings: DeskSettings
    engine: Engine
    keys: KeyRing
    clock: Clock = utc_now

    @classmethod
    def create(cls, folder: Path | str, settings: DeskSettings | None = None, clock: Clock = utc_now) -> Desk:
        """A new desk with a new key; `InputError` if the folder holds one already."""
        folder = Path(folder)
        if (folder / FILE).exists():
            raise InputError(str(folder), "holds a desk already", "open it, or choose another folder")
        settings = settings or DeskSettings()
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise InputError(str(folder), f"could not be made ({error.strerror})") from error
        engine = open_engine(_url(folder, settings))
        with transaction(engine) as conn:
            migrate(conn)
            hold_head(conn)
        ring = KeyRing.create(folder / settings.keys)
        settings.save(folder)  # last: a folder without it is no desk
        return cls(folder, settings, engine, ring, clock)

    @classmethod
    def open(cls, folder: Path | str, clock: Clock = utc_now) -> Desk:
        """A desk that exists; its schema is brought up to date.

        Raises:
            InputError: no desk, a wrong setting, a lost or readable key file, a newer schema.
            RunFailed: the database does not answer.
        """
        folder = Path(folder)
        settings = DeskSettings.load(folder)
        ring = KeyRing.load(folder / settings.keys)
        url = _url(folder, settings)
        file = Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None
        if file is not None and (not file.is_file() or not file.stat().st_size):
            raise InputError(str(file), "is gone or empty", "restore the database; an open desk makes none")
        engine = open_engine(url)
        with transaction(engine, reads_only=True) as conn:
            version = version_of(conn)
        if not version:
            raise InputError(str(folder), "has a database without a desk", "restore the database")
        if version != len(STEPS):
            with transaction(engine) as conn:
                migrate(conn, ring)
                hold_head(conn)
        return cls(folder, settings, engine, ring, clock)

    @property
    def policies(self) -> Path:
        """Folder of the desk's own policies."""
        return self.folder / "policies"

    @property
    def runs(self) -> Path:
        """Folder of runs."""
        return self.folder / self.settings.runs

    @contextmanager
    def session(self, actor: Actor) -> Iterator[DeskSession]:
        """A transaction that writes; other writers wait."""
        with transaction(self.engine) as conn:
            hold_head(conn)
            s = DeskSession(self, conn, actor, self.clock())
            watch = RowWatch(conn)
            yield s
            if rows := watch.take():  # of statements after the last row of the log
                append(conn, s.now, actor, TYPE, {FIELD: rows})
        for file in s.to_delete:
            with suppress(OSError):  # a worker looks for what is left once a day, see `run_leftovers`
                if file.is_dir() and not file.is_symlink():
                    shutil.rmtree(file)
                else:
                    file.unlink(missing_ok=True)

    @contextmanager
    def reading(self, actor: Actor) -> Iterator[DeskSession]:
        """A transaction that reads one state of the desk and writes nothing."""
        with transaction(self.engine, reads_only=True) as conn:
            yield DeskSession(self, conn, actor, self.clock())

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()


def _url(folder: Path, settings: DeskSettings) -> Any:
    if settings.database:
        return read_url(settings.database)
    return read_url("sqlite://").set(database=str((folder / "desk.db").absolute()))
