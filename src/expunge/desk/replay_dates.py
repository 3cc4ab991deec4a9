"""Which time of a row is the time of which row of the log: a session has one time for both.

This holds for logs of every version. Later ones also have a digest of each row, see `row_seals`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from expunge.desk.log_tables import META

Row = Mapping[Any, Any]


class LoggedDate(NamedTuple):
    """A column that holds the time of a row of the log.

    Attributes:
        table: Table of the column.
        column: The column.
        key: Column of the table -> its value, from a row of the log and its body.
        when: Whether a row of the log sets it.
        is_first: The first such row counts; else the last.
    """

    table: str
    column: str
    key: Callable[[Row, Row], dict[str, Any]]
    when: Callable[[Row], bool] = lambda body: True
    is_first: bool = False


def _request(row: Row, body: Row) -> dict[str, Any]:
    return {"id": row["request_id"]}


def _by(column: str, name: str) -> Callable[[Row, Row], dict[str, Any]]:
    return lambda row, body: {column: body[name]}


def _of_request(column: str, name: str) -> Callable[[Row, Row], dict[str, Any]]:
    return lambda row, body: {"request_id": row["request_id"], column: body[name]}


def _asks(body: Row) -> bool:
    return body.get("to") == "identity_pending"


DATES: dict[str, tuple[LoggedDate, ...]] = {
    "request.acknowledge": (LoggedDate("request", "acknowledged_at", _request),),
    "request.ask_identity": (LoggedDate("request", "identity_asked_at", _request, _asks),),
    "request.release": (LoggedDate("request", "identity_asked_at", _request, _asks),),
    "request.identity": (
        LoggedDate("identity_attempt", "at", _by("id", "attempt")),
        LoggedDate("request", "identity_verified_at", _request, lambda body: bool(body["success"]), is_first=True),
    ),
    "request.promote": (LoggedDate("request", "promoted_at", _request),),
    "request.close": (LoggedDate("request", "closed_at", _request),),
    "request.purge": (LoggedDate("request", "purged_at", _request, lambda body: "from" not in body),),
    "records.end": (LoggedDate("request", "records_ended_at", _request),),
    "decision.set": (LoggedDate("decision", "at", _of_request("asset_id", "asset")),),
    "match.settle": (LoggedDate("match", "at", _by("id", "match")),),
    "asset.retire": (LoggedDate("asset", "retired_at", _by("id", "asset")),),
    "batch.close": (LoggedDate("batch", "closed_at", _by("id", "batch")),),
    "plan.store": (LoggedDate("plan", "at", _by("hash", "plan")),),
    "run.start": (LoggedDate("run", "started_at", _by("id", "run")),),
    "run.issue": (LoggedDate("run", "issued_at", _by("id", "run")),),
    "run.certificate": (
        LoggedDate("run", "certificate_verified_at", _by("id", "run"), lambda body: bool(body["verified"]), True),
    ),
    "run.verified": (LoggedDate("run", "certificate_verified_at", _by("id", "run"), is_first=True),),
    "certificate.make": (LoggedDate("certificate", "at", _of_request("digest", "certificate")),),
    "certificate.sign": (LoggedDate("certificate", "verified_at", _of_request("digest", "certificate")),),
    "receipt.write": (LoggedDate("receipt", "at", _of_request("kind", "kind")),),
    "letter.queue": (LoggedDate("outbox", "at", _by("id", "letter")),),
    "letter.accept": (LoggedDate("outbox", "accepted_at", _by("id", "letter")),),
    "task.end": (LoggedDate("task", "at", _by("id", "task")),),
    "task.tell": (LoggedDate("task", "at", _by("id", "task")),),
    "task.confirm": (LoggedDate("task", "at", _by("id", "task")),),
    "model.register": (LoggedDate("model_alias", "at", _by("lineage", "lineage")),),
    "model.swap": (LoggedDate("model_alias", "at", _by("lineage", "lineage")),),
    "log.anchor": (LoggedDate("anchor", "at", _by("seq", "seq")),),
    "token.revoke": (LoggedDate("api_token", "revoked_at", _by("id", "token")),),
    "token.make": (LoggedDate("api_token", "at", _by("id", "token")),),
}
Place = tuple[str, str, tuple[str, ...]]  # table, column, names of the columns of the key


@dataclass
class LoggedDates:
    """Place of a column -> values of its key -> the time that the log has for it."""

    times: dict[Place, dict[tuple[Any, ...], str]] = field(default_factory=dict)

    def note(self, row: Row, body: Row) -> None:
        """Take in a row of the log."""
        for each in DATES.get(row["type"], ()):
            if not each.when(body):
                continue
            key = each.key(row, body)
            times = self.times.setdefault((each.table, each.column, tuple(key)), {})
            if not (each.is_first and tuple(key.values()) in times):
                times[tuple(key.values())] = row["at"]


def date_problems(dates: LoggedDates, conn: Connection) -> Iterator[str]:
    """Times of rows that are not those of the log, a clause each."""
    for (name, column, key), times in dates.times.items():
        table = META.tables[name]
        label = table.c.reference if "reference" in table.c else table.c[key[-1]]
        query = select(label, table.c[column], *(table.c[part] for part in key))
        for row in conn.execute(query).tuples():
            there = times.get(tuple(row[2:]))
            if there is not None and row[1] != there:
                yield f"{name} {row[0]}: its {column} is {row[1]}, and the log has {there}"
