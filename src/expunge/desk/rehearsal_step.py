"""The step that tries a plan once on other people. It may be started again at any moment, by anybody.

Whatever goes wrong is a rehearsal that was not possible; the requests of the plan never learn of it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from expunge._io import digest_file, write_atomic
from expunge.desk import tables as t
from expunge.desk.child import STOPPED, ChildResult, end_survivor
from expunge.desk.connectors.model_folder import remove_folder
from expunge.desk.executors.base import EXECUTORS
from expunge.desk.leases import LateWorker, acquire, check_fence, is_late, note_process, noted_process
from expunge.desk.plans import content_of, plan_row
from expunge.desk.rehearsal_files import FILE, FOLDER
from expunge.desk.rehearsal_tables import OPEN_STATES
from expunge.desk.rehearsals import (
    FAILED,
    approved_run_waits,
    begin_rehearsal,
    end_rehearsal,
    pause_rehearsal,
    rehearsal_row,
    rehearsal_work,
    waits_for_approval,
)
from expunge.desk.roles import SYSTEM, Refusal
from expunge.desk.run_steps import command_line
from expunge.desk.workshop import Answer, Workshop
from expunge.errors import InputError

CHILD = "rehearse"  # name of the files with what the command prints
MARK = "rehearsal.done"
STAYS = (FILE, f"{CHILD}.log")


@dataclass(frozen=True)
class RehearsalWork:
    """A rehearsal under a lease.

    Attributes:
        shop: What the worker works with.
        plan_hash: The plan.
        fence: Fencing number of the lease.
    """

    shop: Workshop
    plan_hash: str
    fence: int

    @property
    def folder(self) -> Path:
        """Folder of the rehearsal, in that of the run, which begins without it."""
        return self.shop.folder(self.plan_hash) / FOLDER

    def should_stop(self) -> bool:
        """Whether the plan waits no longer, an approved run waits, or somebody else works on it."""
        with self.shop.desk.reading(SYSTEM) as s:
            late = is_late(s, rehearsal_work(self.plan_hash), self.fence)
            over = not waits_for_approval(s, self.plan_hash) or approved_run_waits(s)
        return late or over or self.shop.stopping

    def child(self, words: list[str]) -> ChildResult:
        """Run the command until it ends or should stop."""

        def started(pid: int) -> None:
            with self.shop.desk.session(SYSTEM) as s:
                note_process(s, rehearsal_work(self.plan_hash), self.fence, pid)

        if self.should_stop():
            return ChildResult(STOPPED, {})
        result = self.shop.run(words, self.folder, CHILD, started=started, stop=self.should_stop)
        while self.shop.stopping:  # the process ends here; whoever goes on finds the step as not done
            time.sleep(1)
        return result

    def end(self, state: str, **values: Any) -> Answer:
        """Register how it ended, and delete what it was given."""
        with self.shop.desk.session(SYSTEM) as s:
            check_fence(s, rehearsal_work(self.plan_hash), self.fence)
            end_rehearsal(s, self.plan_hash, state, **values)
        clear_rehearsal(self.folder, () if state == "stopped" else STAYS)
        return {"rehearsal": state}

    def stopped(self) -> Answer:
        """End it if its plan waits no longer; else it goes on after the run that goes first."""
        with self.shop.desk.session(SYSTEM) as s:
            check_fence(s, rehearsal_work(self.plan_hash), self.fence)
            if waits_for_approval(s, self.plan_hash):
                pause_rehearsal(s, self.plan_hash)
                return {"rehearsal": "waiting"}
        return self.end("stopped")


def rehearse(shop: Workshop, plan_hash: str) -> Answer:
    """Try a plan on other people, unless that is done or its plan waits no longer, and register the numbers."""
    with shop.desk.session(SYSTEM) as s:
        row = rehearsal_row(s, plan_hash)
        if row is not None and row["state"] not in OPEN_STATES:
            return {"rehearsal": str(row["state"])}
        waits = waits_for_approval(s, plan_hash)
        if row is None and not waits:
            return {"rehearsal": "stopped"}
        if waits and approved_run_waits(s):
            pause_rehearsal(s, plan_hash)
            return {"rehearsal": "waiting"}
        begin_rehearsal(s, plan_hash)
        content = content_of(plan_row(s, plan_hash))
        try:
            fence = acquire(s, rehearsal_work(plan_hash), shop.worker)
        except Refusal as refusal:
            end_rehearsal(s, plan_hash, "not_possible", reason=refusal.what)
            return {"rehearsal": "not_possible"}
        work = RehearsalWork(shop, plan_hash, fence)
        survivor = noted_process(s, rehearsal_work(plan_hash))
    end_survivor(survivor)
    return _rehearse(work, content) if waits else work.stopped()


def _rehearse(work: RehearsalWork, content: dict[str, Any]) -> Answer:
    words = EXECUTORS.get(content["kind"]).rehearsal
    if words is None:
        return work.end("not_possible", reason=f"a plan of kind {content['kind']} has no trial")
    folder = work.folder
    if not is_rehearsed(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        result = work.child(command_line(work.shop, content, folder, words, is_rehearsal=True))
        if result.code == STOPPED:
            return work.stopped()
        if not result.done or not (folder / FILE).is_file():
            return work.end("not_possible", reason=FAILED)
        write_atomic(folder / MARK, digest_file(folder / FILE), private=True)
    from expunge.engine.tune.rehearsal_report import load_report

    report = load_report(folder / FILE)
    state, digest = report.status, digest_file(folder / FILE)
    return work.end(state, reason=report.reason or None, digest=digest, result=report.model_dump(mode="json"))


def is_rehearsed(folder: Path) -> bool:
    """Whether a rehearsal was finished by whoever worked here before, and is as it was."""
    mark, file = folder / MARK, folder / FILE
    return mark.is_file() and file.is_file() and mark.read_text("utf-8") == digest_file(file)


def clear_rehearsal(folder: Path, stays: tuple[str, ...] = ()) -> None:
    """Delete what a rehearsal was given and left, but for these files."""
    if not stays:
        remove_folder(folder)
        return
    for path in list(folder.iterdir()) if folder.is_dir() else ():
        if path.name not in stays:
            remove_folder(path)


def give_up_rehearsal(shop: Workshop, plan_hash: str, error: InputError) -> Answer:
    """After an error: a late worker leaves quietly, for anybody else the rehearsal was not possible."""
    if isinstance(error, LateWorker):
        return {"late": True}
    with shop.desk.session(SYSTEM) as s:
        owner = s.conn.execute(select(t.lease.c.worker).where(t.lease.c.work == rehearsal_work(plan_hash))).scalar()
        if owner not in (None, shop.worker):
            return {"late": True}
        state = "stopped"
        if waits_for_approval(s, plan_hash):
            state = "not_possible"
            begin_rehearsal(s, plan_hash)  # the error may have undone that
        end_rehearsal(s, plan_hash, state, reason=FAILED if state == "not_possible" else None)
    return {"rehearsal": state}
