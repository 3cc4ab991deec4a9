"""Rehearsals by worker processes: the whole way, a kill and a takeover, an approval in the middle of one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

pytest.importorskip("dbos")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")

from expunge.desk.event_log import log_problems
from expunge.desk.rehearsals import rehearsal_view
from expunge.desk.roles import SYSTEM
from expunge.desk.settings import RunSettings
from helpers.desk import DeskCase, make_desk, to_waiting
from helpers.desk_processes import alive, approve, check_end, plan_of, wait_for, work_off, worker

pytestmark = [pytest.mark.process]


def rehearsing_case(tmp_path: Path) -> tuple[DeskCase, str]:
    case = make_desk(tmp_path / "desk", run=RunSettings(rehearse=True))
    case.clock.now = datetime.now(UTC)
    return case, to_waiting(case)


def state_of(case: DeskCase, request_id: str) -> str:
    with case.desk.reading(SYSTEM) as s:
        assert log_problems(s.conn) == []
        return str(rehearsal_view(s, plan_of(case, request_id)["hash"])["state"])


def children(case: DeskCase) -> list[int]:
    return [int(line) for file in case.desk.runs.glob("*/rehearsals") for line in file.read_text().split()]


def test_the_whole_way_with_a_rehearsal(tmp_path: Path) -> None:
    case, request_id = rehearsing_case(tmp_path)
    work_off(case)
    assert (case.state(request_id), state_of(case, request_id)) == ("planned", "done")
    assert len(children(case)) == 1
    for _ in range(2):
        approve(case, request_id)
        work_off(case)
    check_end(case, request_id)
    assert len(children(case)) == 1
    assert not list(case.desk.runs.glob("*/rehearsal"))
    assert state_of(case, request_id) == "done"


def test_a_killed_worker_leaves_its_rehearsal_to_the_next(tmp_path: Path) -> None:
    case, request_id = rehearsing_case(tmp_path)
    with worker(case, "w1", FAKE_SECONDS="20") as process:
        wait_for(lambda: children(case))
        process.kill()
        process.wait()
    (child,) = children(case)
    assert alive(child)
    work_off(case, "w2")
    assert not alive(child)
    assert (case.state(request_id), state_of(case, request_id)) == ("planned", "done")
    assert len(children(case)) == 2


@pytest.mark.matrix
def test_a_stopped_worker_goes_on_with_its_rehearsal(tmp_path: Path) -> None:
    case, request_id = rehearsing_case(tmp_path)
    with worker(case, "w1", FAKE_SECONDS="20") as process:
        wait_for(lambda: children(case))
        process.terminate()
        assert process.wait(60) == 0
    assert state_of(case, request_id) == "running"
    work_off(case, "w1")
    assert state_of(case, request_id) == "done"


def test_nobody_waits_for_a_rehearsal_to_approve(tmp_path: Path) -> None:
    case, request_id = rehearsing_case(tmp_path)
    with worker(case, "w1", FAKE_SECONDS="60", ENDLESS="1") as process:
        wait_for(lambda: children(case))
        (child,) = children(case)
        approve(case, request_id)
        wait_for(lambda: case.state(request_id) == "executing")
        assert not alive(child)
        assert state_of(case, request_id) == "stopped"
        process.terminate()
        process.wait(60)
    work_off(case, "w1")
    assert case.state(request_id) == "audit_passed"


@pytest.mark.matrix
def test_a_trial_that_fails_ends_with_its_reason(tmp_path: Path) -> None:
    case, request_id = rehearsing_case(tmp_path)
    work_off(case, FAKE_CODE="1")
    assert (case.state(request_id), state_of(case, request_id)) == ("planned", "not_possible")
    assert len(list(case.desk.runs.glob("*/rehearsal/rehearse.log"))) == 1
