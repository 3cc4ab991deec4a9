"""What a worker works with, and what becomes of a batch whose work stopped.

What a step returns is stored in the tables of the workflow library: only ids, digests and states, never text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from expunge.desk.child import ChildResult, run_child
from expunge.desk.desk import Desk
from expunge.desk.facts import members
from expunge.desk.letters import Sender
from expunge.desk.roles import SYSTEM, Refusal
from expunge.desk.transitions import fire
from expunge.errors import InputError

Answer = dict[str, Any]
Runner = Callable[..., ChildResult]


@dataclass
class Workshop:
    """What a worker works with.

    Attributes:
        desk: The desk.
        worker: Name of the worker.
        sender: Hands letters to a provider; without one, a clerk posts them.
        device: Torch device of runs.
        stopping: The worker signs off: nothing more is registered, and somebody else goes on.
        run: Runs a command; replaced in tests.
    """

    desk: Desk
    worker: str
    sender: Sender | None = None
    device: str | None = None
    stopping: bool = False
    run: Runner = field(default=run_child)

    def folder(self, plan_hash: str) -> Path:
        """Folder of the runs of a plan."""
        return self.desk.runs / plan_hash[:16]

    def path(self, plan_hash: str, result: str) -> str:
        """Path of the result, relative to the desk's folder."""
        return f"{self.desk.settings.runs}/{plan_hash[:16]}/{result}"


def fail_batch(shop: Workshop, batch_id: str, error: InputError) -> Answer:
    """Note why work stopped, encrypted, and move the requests of the batch to `error`."""
    with shop.desk.session(SYSTEM) as s:
        for request_id in members(s, batch_id):
            try:
                fire(s, request_id, "fail", reason=str(error))
            except Refusal:
                continue
    return {"failed": type(error).__name__}
