"""Workers that are killed at random moments, and a count of what each kill interrupted."""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from dbos import DBOSClient
from sqlalchemy.exc import DBAPIError

from expunge.desk.certificates import certificate_row
from expunge.desk.receipts import receipts
from expunge.desk.roles import SYSTEM
from expunge.desk.worker import workflow_database
from helpers.desk import DeskCase
from helpers.desk_evidence import sign
from helpers.desk_processes import approve, wait_for, work_off, worker

WORKFLOWS = ("prepare", "run", "release")
NO_WORKFLOW = "none"  # the worker starts up, or looks for work
SECONDS = {"prepare": 0.3, "run": 2.5, "release": 0.5}  # from the start of a workflow, within which a kill falls
DUE = {
    "waiting": "prepare",
    **dict.fromkeys(("plan_approved", "executing", "auditing", "audit_passed"), "run"),
    **dict.fromkeys(("promotion_approved", "promoted", "purging", "notified"), "release"),
}


@dataclass
class KillCount:
    """How many kills there were, by the workflow that each interrupted and the state of the request."""

    wanted: int
    places: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return self.places.total()

    def within(self, workflow: str) -> int:
        """Kills that interrupted this workflow."""
        return sum(n for (name, _), n in self.places.items() if name == workflow)

    def wants(self, workflow: str) -> bool:
        """Whether a workflow has had fewer than its third of the kills."""
        return self.within(workflow) < math.ceil(self.wanted / 3)

    def is_enough(self) -> bool:
        """Whether there were enough kills, with a sixth of them in each workflow."""
        return self.total >= self.wanted and all(self.within(name) >= self.wanted // 6 for name in WORKFLOWS)

    def note(self, workflow: str, state: str) -> None:
        """Count a kill."""
        self.places[workflow, state] += 1

    def __str__(self) -> str:
        lines = [f"{name:8} {state:20} {n}" for (name, state), n in sorted(self.places.items())]
        sums = ", ".join(f"{name} {self.within(name)}" for name in (*WORKFLOWS, NO_WORKFLOW))
        return "\n".join([f"{self.total} kills: {sums}", *lines])


@contextmanager
def work_tables(case: DeskCase) -> Iterator[DBOSClient]:
    """The tables of durable work."""
    client = DBOSClient(system_database_url=workflow_database(case.desk))
    try:
        yield client
    finally:
        client.destroy()


def under_way(tables: DBOSClient) -> str:
    """The workflow that a worker is at, or was at when it died."""
    try:
        names = {w.name for w in tables.list_workflows(status=["PENDING"], load_input=False, load_output=False)}
    except DBAPIError:  # no worker has made the tables yet
        return NO_WORKFLOW
    return next((name for name in reversed(WORKFLOWS) if name in names), NO_WORKFLOW)


def kill_on_the_way(case: DeskCase, request_id: str, rng: random.Random, count: KillCount, most: int = 4) -> None:
    """Carry a request to its letter with workers that are killed, `most` times in each workflow."""
    here: Counter[str] = Counter()
    with work_tables(case) as tables:
        for _ in range(200):
            if is_over(case, request_id):
                return
            open_gate(case, request_id)
            due = DUE[case.state(request_id)]
            if here[due] >= most or not count.wants(due):
                work_off(case, FAKE_SECONDS="0.2")
            elif kill_once(case, tables, due, rng):
                here[due] += 1
                count.note(under_way(tables), case.state(request_id))
    raise AssertionError(f"stuck in {case.state(request_id)}")


def kill_once(case: DeskCase, tables: DBOSClient, due: str, rng: random.Random) -> bool:
    """Start a worker and kill it at a random moment; False if it was done before.

    Four of five kills come after the worker has begun with the workflow that is due; the others may fall on its start,
    or on its look for work.
    """
    mark = case.folder / "started"
    mark.unlink(missing_ok=True)
    waits, pause = rng.random() < 0.8, rng.uniform(0, SECONDS[due])
    with worker(case, "w1", FAKE_SECONDS="1") as process:
        if waits:
            wait_for(lambda: process.poll() is not None or (mark.is_file() and under_way(tables) == due), pause=0.02)
        time.sleep(pause)
        if process.poll() is not None:
            return False
        process.kill()
        process.wait()
    return True


def is_over(case: DeskCase, request_id: str) -> bool:
    """Whether the letter is out, and, where the desk signs, all receipts are written."""
    with case.desk.reading(SYSTEM) as s:
        written = len(receipts(s, request_id))
    return case.state(request_id) == "notified" and (case.desk.settings.certificates is None or written == 3)


def open_gate(case: DeskCase, request_id: str) -> None:
    """What people do: approve the plan; sign the certificate, and approve the promotion."""
    state = case.state(request_id)
    if state == "planned":
        approve(case, request_id)
    elif state == "audit_passed":
        with case.desk.reading(SYSTEM) as s:
            row = certificate_row(s, request_id)
        if row is None:
            return
        if row["is_signed"] and row["verified_at"] is None:
            sign(case, request_id)
        approve(case, request_id)
