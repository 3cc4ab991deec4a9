"""Worker processes of a desk in tests, and what must hold when they are done."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select

from expunge.audit.policy import Policy
from expunge.desk import tables as t
from expunge.desk.event_log import EventHead, log_problems
from expunge.desk.evidence_log import anchor_problems
from expunge.desk.facts import latest_plan, latest_run, request_row
from expunge.desk.models import alias_row
from expunge.desk.plans import approve_plan, approve_promotion
from expunge.desk.replay_check import replay_problems
from expunge.desk.roles import SYSTEM
from helpers.desk import APPROVER, DeskCase, make_desk, to_waiting
from helpers.desk_forks import Fork, fork_worker

TESTS = Path(__file__).resolve().parents[1]
SHIFT = 200.0  # hours by which the workers' clock is ahead: every cancel window is over


@contextmanager
def worker(case: DeskCase, name: str, shift: float = SHIFT, **env: str) -> Iterator[Fork]:
    """A worker process; what is left of it is ended at the end."""
    paths = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    settings = {"PYTHONPATH": os.pathsep.join(paths), "FAKE_POLICY": Policy.load("controls-only").digest, **env}
    process = fork_worker(
        [str(case.folder), name, str(shift)],
        case.folder / f"{name}.stdout",
        case.folder / f"{name}.stderr",
        {**os.environ, **settings},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def work_off(case: DeskCase, name: str = "w1", shift: float = SHIFT, **env: str) -> None:
    """Run a worker until nothing is due."""
    with worker(case, name, shift, **env) as process:
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
    """One certificate, one exchange, one letter, a whole log that the rows follow, a certified model in use."""
    assert case.state(request_id) == "notified"
    digest = plan_of(case, request_id)["hash"]
    with case.desk.reading(SYSTEM) as s:
        assert log_problems(s.conn) == []
        assert replay_problems(s.conn) == []
        types = [r.type for r in s.conn.execute(select(t.event_log.c.type))]
        run = latest_run(s, digest)
        alias = alias_row(s, "ward")
    assert run is not None
    assert [types.count(x) for x in ("model.swap", "letter.accept", "run.output")] == [1, 1, 1]
    assert types.count("run.certificate") == 1
    assert alias["digest"] == run["output_digest"]
    assert len(list((case.folder / "letters").iterdir())) == 1
    (file,) = (case.desk.runs / digest[:16] / "certificates").iterdir()
    certificate = json.loads(file.read_text())
    if case.desk.settings.certificates is not None:
        check_evidence(case, request_id, file)
        return
    assert certificate["model"]["after"] == alias["digest"]
    assert certificate["signature"] == "Nobody signed this certificate."
    with case.desk.reading(SYSTEM) as s:
        assert log_problems(s.conn, [EventHead(**certificate["log_head"])]) == []


def check_evidence(case: DeskCase, request_id: str, file: Path) -> None:
    """The certificate verifies by both keys; the log holds each plan, audit, certificate and receipt once."""
    from helpers.desk_evidence import verified

    report = verified(case, request_id)
    assert [str(line) for line in report.lines if line.outcome == "invalid"] == []
    entries = [json.loads(line) for line in (case.folder / "log" / "entries.jsonl").read_text().splitlines()]
    kinds = [entry["kind"] for entry in entries]
    assert [kinds.count(x) for x in ("plan", "attempt", "certificate", "receipt")] == [2, 1, 1, 3]
    with case.desk.reading(SYSTEM) as s:
        assert anchor_problems(case.desk, s.conn) == []
        rows = s.conn.execute(select(t.receipt.c.kind).where(t.receipt.c.request_id == request_id)).scalars().all()
    assert sorted(rows) == ["notification", "promotion", "purge"]


def wait_for(condition: Any, seconds: float = 90, pause: float = 0.1) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited too long"
        time.sleep(pause)


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
