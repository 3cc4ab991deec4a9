"""The work of one worker on one attempt of a run: its children, and how an attempt ends that does not go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from expunge.desk.child import STOPPED, ChildResult
from expunge.desk.desk import DeskSession
from expunge.desk.facts import members, request_row
from expunge.desk.leases import LateWorker, acquire, check_fence, is_late, note_process, noted_process
from expunge.desk.plans import plan_row
from expunge.desk.roles import SYSTEM
from expunge.desk.runs import end_run, is_cancelled, work_name
from expunge.desk.transitions import fire
from expunge.desk.workshop import Answer, Workshop
from expunge.errors import InputError, RunFailed


@dataclass(frozen=True)
class RunWork:
    """An attempt of a run under a lease.

    Attributes:
        shop: What the worker works with.
        plan_hash: The plan.
        attempt: Number of the attempt.
        fence: Fencing number of the lease.
    """

    shop: Workshop
    plan_hash: str
    attempt: int
    fence: int

    @property
    def folder(self) -> Path:
        """Folder of the run."""
        return self.shop.folder(self.plan_hash)

    @property
    def has_keys(self) -> bool:
        """Whether the desk signs and logs."""
        return self.shop.desk.settings.certificates is not None

    @contextmanager
    def holding(self) -> Iterator[None]:
        """`LateWorker` instead of any refusal that a worker meets after somebody else has taken its work."""
        try:
            yield
        except RunFailed:
            raise
        except InputError as error:
            with self.shop.desk.reading(SYSTEM) as s:
                if is_late(s, work_name(self.plan_hash), self.fence):
                    raise LateWorker from error
            raise

    def is_cancelled(self) -> bool:
        """Whether a step need not begin: it would write the inputs once more that were deleted."""
        with self.shop.desk.reading(SYSTEM) as s:
            return is_cancelled(s, self.plan_hash, self.attempt)

    def child(self, words: list[str], name: str, watch: Callable[[], bool] | None = None) -> ChildResult:
        """Run a command; `watch` is called about every second until it returns True."""
        watches = [watch] if watch else []

        def started(pid: int) -> None:
            with self.shop.desk.session(SYSTEM) as s:
                note_process(s, work_name(self.plan_hash), self.fence, pid)

        def stop() -> bool:
            if watches and watches[0]():
                watches.clear()
            with self.shop.desk.reading(SYSTEM) as s:
                late = is_late(s, work_name(self.plan_hash), self.fence)
                return late or self.shop.stopping or is_cancelled(s, self.plan_hash, self.attempt)

        if stop():
            return ChildResult(STOPPED, {})
        result = self.shop.run(words, self.folder, name, started=started, stop=stop)
        while self.shop.stopping:  # the process ends here; whoever goes on finds the step as not done
            time.sleep(1)
        return result

    def stopped(self) -> Answer:
        """The answer of a step whose child was stopped; a run that somebody cancelled ends."""
        with self.shop.desk.session(SYSTEM) as s:
            check_fence(s, work_name(self.plan_hash), self.fence)
            end_cancelled(s, self.plan_hash, self.attempt)
        return {"stopped": True}

    def failed(self, why: str) -> Answer:
        """End the attempt; `LateWorker` if its child failed because a successor ended it."""
        return fail_run(self.shop, self.plan_hash, self.attempt, self.fence, why)


def take_work(s: DeskSession, shop: Workshop, plan_hash: str, attempt: int) -> tuple[RunWork, tuple[int, str] | None]:
    """The work of this worker under a new lease, and the child that the one before it left."""
    name = work_name(plan_hash)
    fence = acquire(s, name, shop.worker)
    return RunWork(shop, plan_hash, attempt, fence), noted_process(s, name)


def end_cancelled(s: DeskSession, plan_hash: str, attempt: int) -> bool:
    """End a run that somebody cancelled; False for any other, which goes on."""
    if not is_cancelled(s, plan_hash, attempt):
        return False
    end_run(s, plan_hash, attempt, "cancelled")
    _fail_requests(s, plan_hash, "the run was cancelled")
    return True


def fail_run(shop: Workshop, plan_hash: str, attempt: int, fence: int | None, why: str) -> Answer:
    """End an attempt as failed, with its reason; `LateWorker` for a worker whose lease is over."""
    with shop.desk.session(SYSTEM) as s:
        if fence is not None:
            check_fence(s, work_name(plan_hash), fence)
        end_run(s, plan_hash, attempt, "failed")
        _fail_requests(s, plan_hash, why)
    return {"failed": True}


def _fail_requests(s: DeskSession, plan_hash: str, why: str) -> None:
    plan = plan_row(s, plan_hash)
    if plan["state"] != "current":  # its requests wait for another plan, or have one
        return
    for request_id in members(s, plan["batch_id"]):
        if request_row(s, request_id)["state"] in ("plan_approved", "executing", "auditing", "audit_passed"):
            fire(s, request_id, "fail", reason=why)
