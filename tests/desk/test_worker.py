"""A worker in a process of its own: the whole way, a kill, a takeover, a late worker, a stop."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

pytest.importorskip("dbos")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")


from expunge.desk import tables as t
from expunge.desk.event_log import log_problems
from expunge.desk.facts import latest_run
from expunge.desk.models import alias_row
from expunge.desk.roles import SYSTEM
from expunge.desk.runs import cancel_run
from helpers.desk import OPERATOR, REVIEWER, DeskCase
from helpers.desk_processes import alive, approve, check_end, plan_of, wait_for, waiting_case, work_off, worker

pytestmark = [pytest.mark.process]


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
    assert all(f.stat().st_mode & 0o077 == 0 for f in case.folder.glob("*.db*"))
    check_the_end_of_the_records(case, request_id)


def check_the_end_of_the_records(case: DeskCase, request_id: str) -> None:
    """A worker of some years later leaves neither rows of durable work nor an audit."""
    folder = case.desk.runs / plan_of(case, request_id)["hash"][:16]
    assert (folder / "audit" / "audit.json").is_file()
    assert work_rows(case) >= 3  # prepare, run, release
    with case.desk.session(SYSTEM) as s:
        s.conn.execute(t.request.update().values(state="closed", closed_at=s.at))
    work_off(case, "later", shift=24.0 * 31 * 38)
    assert work_rows(case) == 0
    assert not (folder / "audit").exists()
    assert (folder / "run").is_dir()  # the model in use
    with case.desk.reading(SYSTEM) as s:
        assert log_problems(s.conn) == []


def work_rows(case: DeskCase) -> int:
    with closing(sqlite3.connect(case.folder / "work.db")) as conn:
        return int(conn.execute("SELECT count(*) FROM workflow_status").fetchone()[0])


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


@pytest.mark.matrix
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


@pytest.mark.matrix
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


@pytest.mark.matrix
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


@pytest.mark.matrix
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


def test_work_that_ended_while_the_desk_was_looked_at_is_not_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The round saw no certificate yet; by the time it asks for the workflow, that has registered one and ended."""
    from types import SimpleNamespace

    from expunge.desk import worker as module
    from expunge.desk.dispatch import Job
    from expunge.desk.workshop import Workshop
    from helpers.desk import make_desk, to_audit_passed, to_planned, to_waiting

    case = make_desk(tmp_path / "desk")
    request_id = to_waiting(case)
    digest = to_planned(case, request_id)
    ended = SimpleNamespace(workflow_id=f"run:{digest}:1", status="SUCCESS", updated_at=0, executor_id="w1")
    begun: list[object] = []
    monkeypatch.setattr(module, "listed_work", lambda **options: [ended])
    monkeypatch.setattr(module.DBOS, "enqueue_workflow", lambda *words: begun.append(words))
    works = module.DeskWorker(Workshop(case.desk, "w1"))
    job = Job("run", digest, 1, "ward")
    to_audit_passed(case, request_id)
    assert works._begin(job)
    assert begun == []
    with case.desk.session(SYSTEM) as s:  # as a worker leaves it that died before it registered the certificate
        s.conn.execute(t.run.update().values(certificate_digest=None))
    assert works._begin(job)
    assert [words[-1] for words in begun] == [2]
