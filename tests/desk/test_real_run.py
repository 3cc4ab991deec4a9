"""The real engine and audit behind a worker, on a tiny model."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

pytest.importorskip("dbos")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")

from expunge.desk.assets import add_asset
from expunge.desk.batches import collect
from expunge.desk.decisions import decide, decide_asset
from expunge.desk.desk import Desk
from expunge.desk.facts import latest_plan, latest_run, request_row
from expunge.desk.matching import matches, search, settle
from expunge.desk.people import set_person
from expunge.desk.plans import approve_plan
from expunge.desk.roles import SYSTEM
from expunge.desk.settings import DeskSettings, RunSettings
from expunge.desk.views import progress
from expunge.synthetic.hospital.hospital import Hospital
from helpers.cli import TARGET, make_model
from helpers.desk import ADMIN, APPROVER, CLERK, OPERATOR, PEOPLE, REVIEWER, Clock, DeskCase, new_request, verify

pytestmark = [pytest.mark.process, pytest.mark.trains, pytest.mark.matrix]


@pytest.fixture
def case(tmp_path: Path) -> DeskCase:
    folder = tmp_path / "desk"
    clock = Clock(datetime.now(UTC) - timedelta(days=5))
    run = RunSettings(recipe="npo", overrides=("steps=4", "batch.forget=4", "batch.retain=4"))
    desk = Desk.create(folder, DeskSettings(run=run), clock)
    world = Hospital.preset("tiny", seed=3, controls_for=(TARGET,), controls_per_target=4).corpus()
    records = world.save(folder / "records.jsonl")
    make_model(records, folder / "model", vocabulary=400)
    with desk.session(SYSTEM) as s:
        set_person(s, "adam", ["admin"])
    with desk.session(ADMIN) as s:
        for name, roles in PEOPLE.items():
            set_person(s, name, roles)
    with desk.session(OPERATOR) as s:
        add_asset(s, "notes", "corpus", "corpus", {"path": "records.jsonl"}, lineage="ward")
        add_asset(s, "model", "weights", "model_folder", {"path": "model"}, lineage="ward")
    return DeskCase(desk, clock)


def work(case: DeskCase) -> None:
    words = ["worker", "--desk", str(case.folder), "--name", "w1", "--until-idle", "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, "-m", "expunge", *words], capture_output=True, text=True, timeout=500, env={**os.environ}
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_engine_and_audit_run_behind_a_worker(case: DeskCase) -> None:
    request_id = new_request(case, {"record_number": TARGET.partition(":")[2]})
    verify(case, request_id)
    case.event(CLERK, request_id, "begin_scoping")
    assert search(case.desk, CLERK, request_id)["notes"] > 0
    with case.desk.session(CLERK) as s:
        settle(s, [m["id"] for m in matches(s, request_id)], confirm=True)
    case.event(CLERK, request_id, "freeze_scope")
    with case.desk.session(REVIEWER) as s:
        decide_asset(s, request_id, "notes", "retain", ground="legal obligation (Art. 17(3)(b))")
        decide_asset(s, request_id, "model", "unlearn")
        decide_asset(s, request_id, "model (old versions)", "erase")
        decide(s, request_id)
    with case.desk.session(SYSTEM) as s:
        collect(s)
    case.clock.now = datetime.now(UTC)
    work(case)
    assert case.state(request_id) == "planned"
    with case.desk.session(APPROVER) as s:
        plan = latest_plan(s, request_row(s, request_id)["batch_id"])
        assert plan is not None
        approve_plan(s, plan["hash"])
    work(case)
    with case.desk.reading(SYSTEM) as s:
        run = latest_run(s, plan["hash"])
    assert run is not None
    assert case.state(request_id) in ("audit_passed", "audit_failed"), logs(case)
    assert run["audit_status"] in ("passed", "failed", "inconclusive", "not_passed")
    assert progress(case.desk, plan["hash"])["step"] == 3
    words = b"".join(f.read_bytes() for f in case.folder.glob("*.db*"))
    assert TARGET.partition(":")[2].encode() not in words


def logs(case: DeskCase) -> str:
    return "\n".join(f.read_text() for f in case.desk.runs.rglob("*.log"))
