"""A full disk, a database that goes away, a wrong clock, a lost child: one line each, and nothing is lost."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest

pytest.importorskip("dbos")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")

from expunge.desk.child import STOPPED, end_survivor, run_child
from expunge.desk.condition import desk_condition, file_system, stranded
from expunge.desk.event_log import log_problems
from expunge.desk.leases import process_start
from expunge.desk.manifest import read_manifest, write_manifest
from expunge.desk.requests import submit
from expunge.desk.roles import SYSTEM
from expunge.desk.worker import workflow_database
from expunge.desk.workflows import VERSION, patiently
from expunge.errors import InputError, RunFailed
from expunge.evidence.manifest import make_manifest, manifest_root
from helpers.cli import full_disk
from helpers.desk import CLERK, DeskCase, make_desk, new_request, write_model


@pytest.fixture
def case(tmp_path: Path) -> DeskCase:
    return make_desk(tmp_path / "desk")


@pytest.mark.skipif("EXPUNGE_DESK_SERVER" in os.environ, reason="SQLite only")
def test_a_full_disk_loses_nothing(case: DeskCase) -> None:
    if case.desk.engine.dialect.name != "sqlite":
        pytest.skip("SQLite only")
    before = new_request(case)
    with full_disk(4096), pytest.raises(RunFailed, match="did not answer"), case.desk.session(CLERK) as s:
        submit(s, {"name": ["x" * 300] * 40})
    assert case.state(before) == "identity_pending"
    new_request(case)
    with case.desk.reading(SYSTEM) as s:
        assert log_problems(s.conn) == []


def test_a_step_waits_for_a_database_that_is_gone() -> None:
    tries: list[int] = []

    def step() -> str:
        tries.append(1)
        if len(tries) < 2:
            raise RunFailed("database", "did not answer")
        return "done"

    assert patiently(step, 30) == "done"
    with pytest.raises(RunFailed):
        patiently(lambda: (_ for _ in ()).throw(RunFailed("database", "gone")), -1)
    with pytest.raises(InputError, match="other"):
        patiently(lambda: (_ for _ in ()).throw(RunFailed("model", "other")))


CHILD = "import sys, json, time; json.load(sys.stdin); time.sleep(60)"


def test_a_child_is_stopped_with_its_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from expunge.desk import child

    (tmp_path / "slow_child.py").write_text(CHILD, "utf-8")
    monkeypatch.setattr(child, "ENTRY", "slow_child")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    pids: list[int] = []
    result = run_child(["x"], tmp_path / "run", "step", started=pids.append, stop=lambda: bool(pids), every=0.1)
    assert (result.code, result.done) == (STOPPED, False)
    assert process_start(pids[0]) == ""
    assert (tmp_path / "run" / "step.words.json").stat().st_mode & 0o077 == 0


def test_only_the_noted_process_is_ended() -> None:
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    try:
        assert not end_survivor((other.pid, "another start"))
        assert other.poll() is None
        start = process_start(other.pid)
        threading.Thread(target=other.wait, daemon=True).start()  # else it stays a zombie, and the grace is waited for
        assert end_survivor((other.pid, start))
    finally:
        other.kill()
        other.wait()
    assert not end_survivor(None)


def test_a_result_that_was_changed_is_not_complete(tmp_path: Path) -> None:
    assert read_manifest(tmp_path) is None
    write_model(tmp_path / "run")
    root = write_manifest(tmp_path, "run")
    assert read_manifest(tmp_path) == root
    for change in (
        lambda: (tmp_path / "run" / "config.json").write_text("{ }", "utf-8"),
        lambda: (tmp_path / "run" / "more").write_text("", "utf-8"),
        lambda: (tmp_path / "run" / ".more").write_text("", "utf-8"),
    ):
        (tmp_path / "run" / "config.json").write_text("{}", "utf-8")
        for more in (tmp_path / "run").glob("*more"):
            more.unlink()
        assert read_manifest(tmp_path) == root
        change()
        with pytest.raises(InputError, match="was changed"):
            read_manifest(tmp_path)


def test_a_manifest_is_that_of_a_certificate(tmp_path: Path) -> None:
    write_model(tmp_path / "run")
    (tmp_path / "run" / ".hidden").write_text("x", "utf-8")
    assert write_manifest(tmp_path, "run") == manifest_root(make_manifest(tmp_path / "run"))


def test_work_of_another_version_is_listed(case: DeskCase) -> None:
    assert stranded(f"sqlite:///{case.folder}/none.db", VERSION) == []
    url = workflow_database(case.desk)
    from sqlalchemy import text

    from expunge.desk.database import open_engine, read_url

    engine = open_engine(read_url(url))
    schema = "" if engine.dialect.name == "sqlite" else "dbos."
    with engine.begin() as conn:
        if schema:
            conn.execute(text("CREATE SCHEMA dbos"))
        conn.execute(
            text(f"CREATE TABLE {schema}workflow_status (workflow_uuid TEXT, status TEXT, application_version TEXT)")
        )
        for row in ("'run:a:1', 'PENDING', 'old'", f"'run:b:1', 'PENDING', '{VERSION}'", "'run:c:1', 'SUCCESS', 'old'"):
            conn.execute(text(f"INSERT INTO {schema}workflow_status VALUES ({row})"))
    engine.dispose()
    problems = desk_condition(case.desk, VERSION, url)["problems"]
    assert [line.split(":")[0:3] for line in problems] == [["work run", "a", "1"]]


def test_the_file_system_is_named(tmp_path: Path) -> None:
    assert isinstance(file_system(tmp_path), str)


def test_a_due_date_in_the_past_is_shown(case: DeskCase) -> None:
    from expunge.desk.views import inbox

    new_request(case, received_at=case.clock.now - timedelta(days=60))
    with case.desk.reading(CLERK) as s:
        (row,) = inbox(s)
    assert row["days_left"] < 0
    assert row["alarms"] == 3
