"""A worker: it signs on, gives signs of life, starts the work that is due, and takes over from workers that died."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Sequence

from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, SetEnqueueOptions, SetWorkflowID
from sqlalchemy import select

from expunge.desk import tables as t
from expunge.desk import workflows
from expunge.desk.child import end_group
from expunge.desk.clearing import ACTIVE, Clearing, listed_work
from expunge.desk.clock_watch import SILENCE_DAYS, ClockWatch, longest_silence
from expunge.desk.database import create_private
from expunge.desk.desk import Desk
from expunge.desk.dispatch import TRAINING, Job, notify_accepted, round_of
from expunge.desk.leases import (
    ABILITIES,
    HEARTBEAT_SECONDS,
    beat,
    is_gone,
    noted_process,
    register_worker,
    stop_worker,
    workers,
)
from expunge.desk.letters import notify_ended, send_waiting
from expunge.desk.regime_texts import keep_open_rules
from expunge.desk.roles import SYSTEM
from expunge.desk.workshop import Workshop
from expunge.errors import InputError, RunFailed

WORK_FILE = "work.db"
ROUND_SECONDS = 2.0
PAUSE_SECONDS = 60.0  # before a release that left something open is tried again; it doubles each time


def workflow_database(desk: Desk) -> str:
    """URL of the tables of durable work."""
    if desk.settings.workflow_database:
        return desk.settings.workflow_database
    if desk.settings.database and desk.engine.dialect.name == "postgresql":
        return desk.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    file = (desk.folder / WORK_FILE).absolute()
    create_private(file)
    return f"sqlite:///{file}"


class DeskWorker:
    """One process that carries out durable work.

    Args:
        shop: what it works with; its worker name must be its own.
        abilities: queues that it serves.
        round_seconds: pause between two looks at the desk.
        clock: what it thinks of the clock of this machine; without a confirmation if not given.
    """

    def __init__(
        self,
        shop: Workshop,
        abilities: Sequence[str] = ABILITIES,
        round_seconds: float = ROUND_SECONDS,
        clock: ClockWatch | None = None,
    ) -> None:
        self.shop, self.desk = shop, shop.desk
        self.abilities, self.round_seconds = tuple(abilities), round_seconds
        self._clock = clock or ClockWatch()
        self._stop = threading.Event()
        self._told: dict[str, str] = {}
        self._clearing = Clearing(self.desk)

    def start(self) -> None:
        """Sign on, and launch the workflow library.

        Raises:
            InputError: a name that is taken, or a wrong clock.
        """
        with self.desk.session(SYSTEM) as s:
            self._clock.check(s)
            silence = longest_silence(s)[1].days if self._clock.is_confirmed else 0
            register_worker(s, self.shop.worker, workflows.VERSION, self.abilities)
            if silence >= SILENCE_DAYS:
                s.log("clock.confirm", {"worker": self.shop.worker, "days": silence})
        workflows.use(self.shop)
        config: DBOSConfig = {
            "name": "expunge-desk",
            "system_database_url": workflow_database(self.desk),
            "executor_id": self.shop.worker,
            "application_version": workflows.VERSION,
            "serializer": DBOSPortableJSONSerializer(),
            "log_level": "CRITICAL",
            "enable_otlp": False,
            "notification_listener_polling_interval_sec": 0.5,
        }
        DBOS(config=config)
        DBOS.listen_queues([name for name in ("light", "unlearn") if name in self.abilities])
        DBOS.launch()
        DBOS.register_queue("light", worker_concurrency=2, polling_interval_sec=0.5)
        DBOS.register_queue("unlearn", worker_concurrency=1, partition_concurrency=1, polling_interval_sec=0.5)
        threading.Thread(target=self._beat, daemon=True).start()

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            try:
                with self.desk.session(SYSTEM) as s:
                    self._clock.check(s)
                    beat(s, self.shop.worker)
            except InputError:
                continue  # the database is gone for a while, or the clock is wrong; the others count the silence

    def run(self, *, until_idle: bool = False) -> None:
        """Work until `stop`; with `until_idle` until nothing is due or under way.

        Raises:
            InputError: the clock was set meanwhile, or a round met something wrong, and the worker should end by
                itself; otherwise it says so, and goes on when that is mended.
        """
        quiet = 0
        while not self._stop.is_set():
            try:
                busy = self.once()
            except RunFailed:
                busy = True
            except InputError as error:
                if until_idle:
                    raise
                self._tell(str(error))
                busy = True
            quiet = 0 if busy else quiet + 1
            if until_idle and quiet >= 2:
                return
            self._stop.wait(self.round_seconds)

    def once(self) -> bool:
        """One look at the desk; returns whether work is due or under way."""
        with self.desk.session(SYSTEM) as s:
            self._clock.check(s)
            lines = keep_open_rules(s.conn, self.desk.policies, s.at)
            jobs = round_of(s)
            notify_accepted(s)
            self._clearing.look(s)
        if lines:
            self._tell("\n".join(lines), "policies")
        notify_ended(self.desk, self.shop.sender)
        send_waiting(self.desk, self.shop.sender)
        for line in self._clearing.clear():
            self._tell(line)
        started = [self._begin(job) for job in jobs]
        self._cancel_stopped()
        self._take_over()
        self._keep_evidence()
        return any(started) or bool(listed_work(status=list(ACTIVE)))

    def _keep_evidence(self) -> None:
        """Receipts, and the daily head of the log; a lost key stops no other work."""
        if self.desk.settings.certificates is None:
            return
        from expunge.desk.evidence_log import anchor_daily
        from expunge.desk.receipts import issue_receipts

        for work in (anchor_daily, issue_receipts):
            try:
                work(self.desk)
            except RunFailed:
                raise
            except InputError as error:
                self._tell(str(error))

    def _tell(self, line: str, about: str = "") -> None:
        """A line on standard error, once until another one about the same comes."""
        if line != self._told.get(about):
            self._told[about] = line
            sys.stderr.write(f"{line}\n")

    def _begin(self, job: Job) -> bool:
        """Start a job unless it is under way, has ended, or is to be tried later."""
        earlier = listed_work(workflow_id_prefix=f"{job.workflow}:{job.target}:")
        if any(w.status in ACTIVE for w in earlier):
            return True
        number = job.number if job.number is not None else 1 + len(earlier)
        names = {w.workflow_id for w in earlier}
        if job.workflow == "release" and earlier:
            last = max(w.updated_at or 0 for w in earlier) / 1000
            if time.time() < last + PAUSE_SECONDS * 2 ** min(len(earlier) - 1, 6):
                return False
        if job.name(number) in names and not self._is_wanted(job):
            return True  # it ended after the desk was looked at
        while job.name(number) in names:  # it ended, and the desk still wants it: a worker died between two steps
            number += 1
        if job.workflow == "run":
            self._next_attempt(job.target, number)
        with SetWorkflowID(job.name(number)):
            if job.queue == "unlearn":
                with SetEnqueueOptions(queue_partition_key=job.partition):
                    DBOS.enqueue_workflow(job.queue, workflows.WORKFLOWS[job.workflow], job.target, number)
            else:
                DBOS.enqueue_workflow(job.queue, workflows.WORKFLOWS[job.workflow], job.target, number)
        return True

    def _is_wanted(self, job: Job) -> bool:
        """Whether the desk wants a job now, after what did it has ended."""
        with self.desk.session(SYSTEM) as s:
            self._clock.check(s)
            return job in round_of(s)

    def _next_attempt(self, plan_hash: str, number: int) -> None:
        """An attempt whose workflow ended without an answer is over."""
        with self.desk.session(SYSTEM) as s:
            here = (t.run.c.plan_hash == plan_hash, t.run.c.attempt < number, t.run.c.state == "running")
            s.conn.execute(t.run.update().where(*here).values(state="failed", ended_at=s.at))

    def _cancel_stopped(self) -> None:
        """Tell the workflow library of runs that somebody cancelled; their step stops its process by itself."""
        query = select(t.run.c.plan_hash, t.run.c.attempt).where(
            t.run.c.cancel_at.is_not(None), t.run.c.state == "cancelled"
        )
        with self.desk.reading(SYSTEM) as s:
            names = {f"run:{plan_hash}:{attempt}" for plan_hash, attempt in s.conn.execute(query).tuples()}
        for w in listed_work(status=["ENQUEUED", "DELAYED"], name="run"):
            if w.workflow_id in names:
                DBOS.cancel_workflow(w.workflow_id)

    def _take_over(self) -> None:
        """Put the work of dead workers back on its queue; the lock of the desk lets one worker do it."""
        others = [w for w in listed_work(status=["PENDING"]) if w.executor_id != self.shop.worker]
        if not others:
            return
        with self.desk.session(SYSTEM) as s:
            known = {row["id"]: row for row in workers(s)}
            for w in listed_work(status=["PENDING"], workflow_ids=[w.workflow_id for w in others]):
                row = known.get(str(w.executor_id))
                if w.executor_id == self.shop.worker or (row is not None and not is_gone(s, row)):
                    continue
                queue = "unlearn" if w.name in TRAINING else "light"
                DBOS.resume_workflow(w.workflow_id, queue_name=queue)
                s.log("work.resume", {"work": w.workflow_id, "from": str(w.executor_id)})

    def stop(self) -> None:
        """Let `run` return soon, and steps register nothing more; a signal handler may call this."""
        self.shop.stopping = True
        self._stop.set()

    @property
    def stopped(self) -> bool:
        """Whether somebody asked the worker to stop."""
        return self.shop.stopping

    def sign_off(self) -> None:
        """After `run`: children write a checkpoint and end. The process must end then, see `leave`."""
        with self.desk.reading(SYSTEM) as s:
            mine = select(t.lease.c.work).where(t.lease.c.worker == self.shop.worker)
            processes = [noted_process(s, work) for work in s.conn.execute(mine).scalars().all()]
        for process in processes:
            if process:
                end_group(process[0])
        with self.desk.session(SYSTEM) as s:
            stop_worker(s, self.shop.worker)

    def close(self) -> None:
        """End the workflow library in this process; for tests."""
        self._stop.set()
        DBOS.destroy()


def leave() -> None:
    """End the process at once, without waiting for threads that hold unfinished steps."""
    os._exit(0)
