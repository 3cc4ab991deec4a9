"""A worker in a process of its own: the whole way, a kill, a takeover, a late worker, a stop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("dbos")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")

from sqlalchemy import select

from expunge.audit.policy import Policy
from expunge.desk import tables as t
from expunge.desk.event_log import log_problems
from expunge.desk.facts import latest_plan, latest_run, request_row
from expunge.desk.models import alias_row
from expunge.desk.plans import approve_plan, approve_promotion
from expunge.desk.roles import SYSTEM
from expunge.desk.runs import cancel_run
from helpers.desk import APPROVER, OPERATOR, REVIEWER, DeskCase, make_desk, to_waiting

pytestmark = [pytest.mark.process]
TESTS = Path(__file__).resolve().parents[1]
SHIFT = 200.0  # hours by which the workers' clock is ahead: every cancel window is over


@contextmanager
def worker(case: DeskCase, name: str, **env: str) -> Iterator[subprocess.Popen[str]]:
    """A worker process; what is left of it is ended at the end."""
    paths = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    settings = {"PYTHONPATH": os.pathsep.join(paths), "FAKE_POLICY": Policy.load("controls-only").digest, **env}
    process = subprocess.Popen(
        [sys.executable, "-m", "helpers.desk_worker", str(case.folder), name, str(SHIFT)],
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        stderr=(case.folder / f"{name}.stderr").open("a"),
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)
            process.kill()
        process.wait()


def work_off(case: DeskCase, name: str = "w1", **env: str) -> None:
    """Run a worker until nothing is due."""
    with worker(case, name, **env) as process:
        out, _ = process.communicate(timeout=180)
    assert "idle" in out, (case.folder / f"{name}.stderr").read_text()


def waiting_case(tmp_path: Path) -> tuple[DeskCase, str]:
    case = make_desk(tmp_path / "desk")
    case.clock.now = datetime.now(UTC)
    return case, to_waiting(case)


def plan_of(case: DeskCase, request_id: str) -> Any:
    with case.desk.reading(SYSTEM) as s:
        return latest_plan(s, request_row(s, request_id)["batch_id"])


def approve(case: DeskCase, request_id: str) -> None:
    """The gate at which the request stands."""
    digest = plan_of(case, request_id)["hash"]
    with case.desk.session(APPROVER) as s:
        if case.state(request_id) == "planned":
            approve_plan(s, digest)
        else:
            approve_promotion(s, digest)


def check_end(case: DeskCase, request_id: str) -> None:
    """One certificate, one exchange, one letter, a whole log, a certified model in use."""
    assert case.state(request_id) == "notified"
    digest = plan_of(case, request_id)["hash"]
    with case.desk.reading(SYSTEM) as s:
        assert log_problems(s.conn) == []
        types = [r.type for r in s.conn.execute(select(t.event_log.c.type))]
        run = latest_run(s, digest)
        alias = alias_row(s, "ward")
    assert run is not None
    assert [types.count(x) for x in ("model.swap", "letter.accept", "run.output")] == [1, 1, 1]
    assert types.count("run.certificate") == 1
    assert alias["digest"] == run["output_digest"]
    assert len(list((case.folder / "letters").iterdir())) == 1
    certificate = json.loads((case.desk.runs / digest[:16] / "certificate.json").read_text())
    assert certificate["model"]["after"] == alias["digest"]


def test_the_whole_way_with_a_worker(tmp_path: Path) -> None:
    case, request_id = waiting_case(tmp_path)
    work_off(case)
    assert case.state(request_id) == "planned"
    approve(case, request_id)
    work_off(case)
    assert case.state(request_id) == "audit_passed"
    approve(case, request_id)
    work_off(case)
    check_end(case, request_id)
    raw = b"".join(f.read_bytes() for f in case.folder.glob("*.db*"))
    for canary in ("Weiß", "Anna", "PAT-102"):
        assert canary.encode() not in raw
    assert (case.folder / "work.db").stat().st_mode & 0o077 == 0


def test_kill_and_takeover_by_another_worker(tmp_path: Path) -> None:
    case, request_id = waiting_case(tmp_path)
    work_off(case)
    approve(case, request_id)
    with worker(case, "w1", FAKE_SECONDS="20") as process:
        wait_for(lambda: case.state(request_id) == "executing")
        folder = case.desk.runs / plan_of(case, request_id)["hash"][:16]
        wait_for(lambda: (folder / "trainings").is_file())
        process.kill()
        process.wait()
    child = int((folder / "trainings").read_text().split()[0])
    assert alive(child)  # it goes on without its worker
    work_off(case, "w2", FAKE_SECONDS="0.2")
    assert not alive(child)
    assert case.state(request_id) == "audit_passed"
    approve(case, request_id)
    work_off(case, "w3")
    check_end(case, request_id)


def test_a_stopped_worker_leaves_its_work_to_the_next(tmp_path: Path) -> None:
    case, request_id = waiting_case(tmp_path)
    work_off(case)
    approve(case, request_id)
    with worker(case, "w1", FAKE_SECONDS="20") as process:
        wait_for(lambda: case.state(request_id) == "executing")
        wait_for(lambda: any(case.desk.runs.glob("*/trainings")))
        process.terminate()
        assert process.wait(60) == 0
    assert case.state(request_id) == "executing"
    work_off(case, "w1")
    assert case.state(request_id) == "audit_passed"


def test_a_cancelled_request_stops_its_process(tmp_path: Path) -> None:
    case, request_id = waiting_case(tmp_path)
    work_off(case)
    approve(case, request_id)
    with worker(case, "w1", FAKE_SECONDS="60") as process:
        wait_for(lambda: any(case.desk.runs.glob("*/trainings")))
        child = int(next(case.desk.runs.glob("*/trainings")).read_text().split()[0])
        case.event(REVIEWER, request_id, "cancel", reason="settled in court")
        wait_for(lambda: not alive(child))
        out, _ = process.communicate(timeout=120)
    assert "idle" in out
    assert case.state(request_id) == "notified"
    with case.desk.reading(SYSTEM) as s:
        assert alias_row(s, "ward")["run_id"] is None
        assert log_problems(s.conn) == []


def test_a_cancelled_run_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    case, request_id = waiting_case(tmp_path)
    work_off(case)
    approve(case, request_id)
    with worker(case, "w1", FAKE_SECONDS="40") as process:
        wait_for(lambda: any(case.desk.runs.glob("*/checkpoint")))
        with case.desk.session(OPERATOR) as s:
            cancel_run(s, plan_of(case, request_id)["hash"], "the machine is needed")
        process.communicate(timeout=120)
    assert case.state(request_id) == "error"
    assert case.event(OPERATOR, request_id, "recover") == "executing"
    work_off(case)
    assert case.state(request_id) == "audit_passed"
    with case.desk.reading(SYSTEM) as s:
        run = latest_run(s, plan_of(case, request_id)["hash"])
    assert run is not None
    assert run["attempt"] == 2


@pytest.mark.parametrize("code", ["1", "2"])
def test_a_run_that_fails_is_an_error_with_a_reason(tmp_path: Path, code: str) -> None:
    case, request_id = waiting_case(tmp_path)
    work_off(case)
    approve(case, request_id)
    work_off(case, FAKE_CODE=code)
    assert case.state(request_id) == "error"
    case.event(OPERATOR, request_id, "recover")
    work_off(case)
    assert case.state(request_id) == "audit_passed"


def test_a_corpus_that_changed_is_planned_again(tmp_path: Path) -> None:
    case, request_id = waiting_case(tmp_path)
    work_off(case)
    first = plan_of(case, request_id)["hash"]
    approve(case, request_id)
    with (case.folder / "ward.jsonl").open("a") as stream:
        stream.write('{"id": "new", "prompt": "a?", "answer": "b"}\n')
    work_off(case)
    assert case.state(request_id) == "planned"
    assert plan_of(case, request_id)["hash"] != first


def wait_for(condition: Any, seconds: float = 90) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.1)


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
