"""A table in a database of the controller: rows by name and number, deleted or masked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from expunge.desk.connectors.base import CONNECTORS, Connector, FoundObject, PersonIdentifier, PurgeOutcome, spelled
from expunge.desk.keys import IDENTIFIER_KINDS, normalize
from expunge.errors import InputError, RunFailed, unknown

MASK = "[erased]"
CHUNK = 500


@CONNECTORS.register("sql_table")
class SqlTable(Connector):
    """Rows of a table; columns of text are read, and compared as names and numbers are."""

    kinds: ClassVar[tuple[str, ...]] = ("table", "logs", "cache", "evaluation_set")
    about: ClassVar[str] = "rows of a table in SQL"

    url: str = Field(description="database URL; the password comes from the driver's own file or environment")
    table: str = Field(description="name of the table")
    key: str = Field(description="column that names a row")
    columns: dict[str, str] = Field(min_length=1, description="column -> kind of identifier, or text")
    action: Literal["delete", "mask"] = Field("delete", description="delete the row, or mask its columns")

    def check(self, root: Path) -> None:
        for kind in self.columns.values():
            if kind not in (*IDENTIFIER_KINDS, "text"):
                raise unknown("kind of column", kind, (*IDENTIFIER_KINDS, "text"), "columns")
        with self._open(root) as (_, table):
            for column in (self.key, *self.columns):
                if column not in table.c:
                    raise unknown("column", column, list(table.c.keys()), self.table)

    def find(self, root: Path, person: Sequence[PersonIdentifier]) -> list[FoundObject]:
        from sqlalchemy import select

        hits = []
        with self._open(root) as (conn, table):
            query = select(table.c[self.key], *(table.c[name] for name in self.columns))
            for key, *values in conn.execution_options(yield_per=CHUNK).execute(query):
                if hit := self._hit(values, person):
                    hits.append(FoundObject(str(key), hit.how, hit.certain))
        return hits

    def _hit(self, values: Sequence[Any], person: Sequence[PersonIdentifier]) -> FoundObject | None:
        perhaps = None
        for value, kind in zip(values, self.columns.values(), strict=True):
            if value is None:
                continue
            if kind in ("text", "name"):
                hit = spelled(str(value), person)
            else:
                same = any(each.kind == kind and each.plain == normalize(kind, str(value)) for each in person)
                hit = FoundObject("", kind) if same else None
            if hit and hit.certain:
                return hit
            perhaps = perhaps or hit
        return perhaps

    def show(self, root: Path, object_id: str) -> str:
        from sqlalchemy import String, cast, select

        with self._open(root) as (conn, table):
            query = select(*(table.c[name] for name in self.columns)).where(
                cast(table.c[self.key], String) == object_id
            )
            row = conn.execute(query).first()
        if row is None:
            raise InputError("row", "is not in the table any more", "search again")
        return "\n".join(f"{name}: {value}" for name, value in zip(self.columns, row, strict=True))

    def purge(self, root: Path, objects: Sequence[str], today: str) -> PurgeOutcome:
        from sqlalchemy import String, cast, delete, update

        removed = 0
        with self._open(root) as (conn, table):
            key = cast(table.c[self.key], String)
            for start in range(0, len(objects), CHUNK):
                part = key.in_(objects[start : start + CHUNK])
                if self.action == "delete":
                    removed += conn.execute(delete(table).where(part)).rowcount
                else:
                    first = table.c[next(iter(self.columns))]
                    open_rows = first.is_(None) | (cast(first, String) != MASK)
                    masked = dict.fromkeys(self.columns, MASK)
                    removed += conn.execute(update(table).where(part, open_rows).values(**masked)).rowcount
        return PurgeOutcome(removed, len(objects) - removed)

    @contextmanager
    def _open(self, root: Path) -> Iterator[tuple[Any, Any]]:
        from sqlalchemy import MetaData, Table, create_engine, make_url
        from sqlalchemy.exc import ArgumentError, NoSuchTableError, SQLAlchemyError

        try:
            url = make_url(self.url)
        except ArgumentError as error:
            raise InputError("url", "is no database URL", "for example sqlite:///clinic.db") from error
        if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).is_absolute():
            url = url.set(database=str(root / url.database))
        if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).exists():
            raise InputError("url", "there is no such database file", "paths start from the desk's folder")
        engine = create_engine(url)
        try:
            with engine.begin() as conn:
                yield conn, Table(self.table, MetaData(), autoload_with=conn)
        except NoSuchTableError as error:
            raise InputError(self.table, "there is no such table", "check the name") from error
        except SQLAlchemyError as error:
            what = f"the database did not answer ({type(error).__name__})"
            raise RunFailed(self.table, what, "bring it back and try again") from error
        finally:
            engine.dispose()
