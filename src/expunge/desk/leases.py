"""Workers, their heartbeats, and leases with a fencing number: a worker that comes back late changes nothing."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Exists, RowMapping, Table, delete, exists, insert, select, update

from expunge._printable import clip
from expunge.desk import tables as t
from expunge.desk.desk import DeskSession
from expunge.desk.names import stamp
from expunge.desk.roles import Refusal
from expunge.errors import InputError

HEARTBEAT_SECONDS = 10
DEAD_SECONDS = 60
MAX_TAKEOVERS = 5
ABILITIES = ("light", "unlearn", "audit")


def host_name() -> str:
    """Name of this machine."""
    return socket.gethostname()[:80]


def process_start(pid: int) -> str:
    """When a process started, in the words of the system; "" where it does not say or the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def register_worker(s: DeskSession, worker: str, version: str, abilities: Sequence[str] = ABILITIES) -> None:
    """Sign a worker on.

    Raises:
        InputError: the default name of the library, or the name of a worker that is alive elsewhere.
    """
    if worker == "local" or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", worker):
        hint = "give a name of its own of letters, digits and - . _, e.g. gpu-1"
        raise InputError("--name", f'"{clip(worker, 40)}" cannot be the name of a worker', hint)
    if bad := set(abilities) - set(ABILITIES):
        raise InputError("--ability", f"{sorted(bad)[0]} is unknown", f"known: {', '.join(ABILITIES)}")
    row = s.conn.execute(select(t.worker).where(t.worker.c.id == worker)).mappings().first()
    here = (host_name(), os.getpid())
    if row and row["stopped_at"] is None and (row["host"], row["pid"]) != here and not is_gone(s, row):
        raise InputError("--name", f'the worker "{worker}" is alive on {row["host"]}', "choose another name")
    s.conn.execute(delete(t.worker).where(t.worker.c.id == worker))
    s.conn.execute(
        insert(t.worker).values(
            id=worker,
            host=here[0],
            pid=here[1],
            version=version,
            abilities=json.dumps(sorted(abilities)),
            started_at=s.at,
            heartbeat_at=s.at,
        )
    )
    s.log("worker.start", {"worker": worker, "version": version})


def beat(s: DeskSession, worker: str) -> None:
    """A sign of life."""
    s.conn.execute(update(t.worker).where(t.worker.c.id == worker).values(heartbeat_at=s.at))


def stop_worker(s: DeskSession, worker: str) -> None:
    """Sign a worker off."""
    s.conn.execute(update(t.worker).where(t.worker.c.id == worker).values(stopped_at=s.at))
    s.log("worker.stop", {"worker": worker})


def workers(s: DeskSession) -> list[RowMapping]:
    """All workers, the newest first."""
    return list(s.conn.execute(select(t.worker).order_by(t.worker.c.started_at.desc())).mappings())


def is_dead(s: DeskSession, row: RowMapping) -> bool:
    """Whether a worker has given no sign of life for a minute, or has signed off."""
    return row["stopped_at"] is not None or row["heartbeat_at"] < stamp(s.now - timedelta(seconds=DEAD_SECONDS))


def is_gone(s: DeskSession, row: RowMapping) -> bool:
    """As `is_dead`, and at once for a process of this machine that has ended."""
    if row["host"] == host_name() and not process_start(row["pid"]):
        return True
    return is_dead(s, row)


def acquire(s: DeskSession, work: str, worker: str) -> int:
    """Take a piece of work, and return the fencing number; each taking raises it.

    Raises:
        Refusal: it was taken over too often (kind `conflict`).
    """
    row = s.conn.execute(select(t.lease).where(t.lease.c.work == work)).mappings().first()
    if row is None:
        values = {"work": work, "worker": worker, "fence": 1, "takeovers": 0, "at": s.at}
        s.conn.execute(insert(t.lease).values(**values))
        return 1
    takeovers = row["takeovers"] + (row["worker"] != worker)
    if takeovers > MAX_TAKEOVERS:
        what = f"{MAX_TAKEOVERS} workers in turn died over it"
        raise Refusal("work", what, "look at their logs, then recover the request", kind="conflict")
    values = {"worker": worker, "fence": row["fence"] + 1, "takeovers": takeovers, "at": s.at}
    s.conn.execute(update(t.lease).where(t.lease.c.work == work).values(**values))
    if row["worker"] != worker:
        s.log("work.takeover", {"work": work, "from": row["worker"], "to": worker, "fence": row["fence"] + 1})
    return int(row["fence"]) + 1


def held_work(s: DeskSession, table: Table, prefix: str) -> Exists:
    """Condition on a plan: a living worker holds the lease on a row of it in `table` that is `running`.

    Args:
        s: a session.
        table: runs or rehearsals.
        prefix: how the names of their work begin.
    """
    return exists().where(
        table.c.plan_hash == t.plan.c.hash,
        table.c.state == "running",
        t.lease.c.work == prefix + t.plan.c.hash,
        t.worker.c.id == t.lease.c.worker,
        t.worker.c.stopped_at.is_(None),
        t.worker.c.heartbeat_at >= stamp(s.now - timedelta(seconds=DEAD_SECONDS)),
    )


class LateWorker(Refusal):
    """Somebody else has taken the work since: what this worker does in it, or cannot do, no longer counts."""

    def __init__(self) -> None:
        super().__init__("work", "was taken over by another worker", "nothing was registered", kind="conflict")

    def __reduce__(self) -> tuple[type[LateWorker], tuple[()]]:  # type: ignore[override]
        return type(self), ()


def is_late(s: DeskSession, work: str, fence: int) -> bool:
    """Whether somebody else has taken the work since this fencing number was given."""
    return s.conn.execute(select(t.lease.c.fence).where(t.lease.c.work == work)).scalar() != fence


def check_fence(s: DeskSession, work: str, fence: int) -> None:
    """`LateWorker` if somebody else has taken the work since."""
    if is_late(s, work, fence):
        raise LateWorker


def note_process(s: DeskSession, work: str, fence: int, pid: int) -> None:
    """Note the child process that does the work, so that a successor can end it."""
    check_fence(s, work, fence)
    values = {"host": host_name(), "pid": pid, "pid_started": process_start(pid)}
    s.conn.execute(update(t.lease).where(t.lease.c.work == work).values(**values))


def noted_process(s: DeskSession, work: str) -> tuple[int, str] | None:
    """(pid, start) of a child process of this work that still runs on this machine."""
    row = s.conn.execute(select(t.lease).where(t.lease.c.work == work)).mappings().first()
    if row is None or row["pid"] is None or row["host"] != host_name():
        return None
    started = process_start(row["pid"])
    return (row["pid"], started) if started and started == row["pid_started"] else None
