"""A worker that wakes up after somebody else has taken its work registers nothing, not even that it failed."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("dbos")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")

from expunge.audit.policy import Policy
from expunge.desk import run_steps
from expunge.desk.child import STOPPED, ChildResult
from expunge.desk.facts import latest_run
from expunge.desk.leases import LateWorker, acquire
from expunge.desk.plans import approve_plan
from expunge.desk.roles import SYSTEM
from expunge.desk.runs import cancel_run, work_name
from expunge.desk.workshop import Workshop
from expunge.errors import InputError
from helpers.desk import APPROVER, OPERATOR, DeskCase, make_desk, to_planned, to_waiting
from helpers.desk_stand_in import stand_in_child


def ended_by_successor(case: DeskCase, digest: str) -> ChildResult:
    return ChildResult(-signal.SIGTERM, {})


def folder_in_use(case: DeskCase, digest: str) -> ChildResult:
    raise InputError("run", "is being written by another process")


def cancelled(case: DeskCase, digest: str) -> ChildResult:
    with case.desk.session(OPERATOR) as s:
        cancel_run(s, digest, "the machine is needed")
    return ChildResult(STOPPED, {})


@pytest.mark.parametrize(
    ("step", "outcome", "successor"),
    [
        ("unlearn", ended_by_successor, "w1"),
        ("unlearn", folder_in_use, "w2"),
        ("audit", ended_by_successor, "w2"),
        ("audit", cancelled, "w1"),
    ],
)
def test_a_late_worker_does_not_fail_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, outcome: Callable[..., ChildResult], successor: str
) -> None:
    monkeypatch.setenv("FAKE_POLICY", Policy.load("controls-only").digest)
    case = make_desk(tmp_path / "desk")
    request_id = to_waiting(case)
    digest = to_planned(case, request_id)
    with case.desk.session(APPROVER) as s:
        approve_plan(s, digest)
    shop = Workshop(case.desk, "w1", run=stand_in_child)
    if step == "audit":
        run_steps.unlearn(shop, digest, 1)

    def taken_over(*words: Any, **options: Any) -> ChildResult:
        with case.desk.session(SYSTEM) as s:
            acquire(s, work_name(digest), successor)
        return outcome(case, digest)

    shop.run = taken_over
    with pytest.raises(LateWorker) as late:
        getattr(run_steps, step)(shop, digest, 1)
    assert run_steps.give_up_run(shop, digest, 1, late.value) == {"late": True}
    assert case.state(request_id) == {"unlearn": "executing", "audit": "auditing"}[step]
    with case.desk.reading(SYSTEM) as s:
        run = latest_run(s, digest)
    assert run is not None
    assert run["state"] == "running"
