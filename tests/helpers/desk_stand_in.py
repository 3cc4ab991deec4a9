"""The stand-in child in this process: what `expunge unlearn`, `audit` and `rehearse` would write, without a process."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from expunge._io import write_json
from expunge.desk.child import ChildResult
from expunge.desk.plans import approve_plan
from expunge.desk.run_steps import audit, unlearn
from expunge.desk.workshop import Workshop
from helpers import fake_child
from helpers.desk import APPROVER, DeskCase, to_planned, to_waiting


def stand_in_child(
    words: Sequence[str], folder: Path, name: str, *, started: Callable[[int], None], stop: Callable[[], bool]
) -> ChildResult:
    """As `run_child`: asks once whether to stop, and writes the words beside what it makes."""
    write_json(folder / f"{name}.words.json", list(words))
    here = Path.cwd()
    try:
        os.chdir(folder)
        code = fake_child.perform(list(words))
    finally:
        os.chdir(here)
    stop()
    return ChildResult(code, json.loads('{"code": 0}'))


def shop_of(case: DeskCase, worker: str = "w1", run: Callable[..., ChildResult] = stand_in_child) -> Workshop:
    """A worker whose children are stand-ins."""
    return Workshop(case.desk, worker, run=run)


def to_audit(case: DeskCase) -> tuple[str, str]:
    """A request whose run is audited, and its plan."""
    request_id = to_waiting(case)
    digest = to_planned(case, request_id)
    with case.desk.session(APPROVER) as s:
        approve_plan(s, digest)
    for step in (unlearn, audit):
        step(shop_of(case), digest, 1)
    return request_id, digest
