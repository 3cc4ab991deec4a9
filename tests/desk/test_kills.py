"""Workers that are killed or frozen at random moments: one certificate, one exchange, one letter, a whole log.

The number of kills of each way comes from EXPUNGE_DESK_KILLS (12 without it), and a seed from EXPUNGE_DESK_SEED. The
kills spread over all three workflows; `-s` shows how. Each way is gone plainly and with signed certificates, on SQLite
and, where it is installed, on PostgreSQL.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

pytest.importorskip("dbos")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")
pytest.importorskip("securesystemslib")

from sqlalchemy import select

from expunge.desk import tables as t
from expunge.desk.event_log import log_problems
from expunge.desk.replay_check import replay_problems
from expunge.desk.roles import SYSTEM
from helpers import postgres
from helpers.desk import DeskCase, make_desk, new_request
from helpers.desk_evidence import signed_waiting_case
from helpers.desk_kills import KillCount, is_over, kill_on_the_way, open_gate
from helpers.desk_processes import SHIFT, alive, approve, check_end, plan_of, wait_for, waiting_case, work_off, worker
from helpers.web_log import log_rows

pytestmark = [pytest.mark.process, pytest.mark.matrix]
KILLS = int(os.environ.get("EXPUNGE_DESK_KILLS", "12"))


Case = Callable[[Path], tuple[DeskCase, str]]


def run_kills(tmp_path: Path, make: Case) -> None:
    """Kill workers on several desks until it was often enough; the weights are the same each time."""
    rng, count = random.Random(int(os.environ.get("EXPUNGE_DESK_SEED", "5"))), KillCount(KILLS)
    weights = set()
    for k in range(KILLS):
        if count.is_enough():
            break
        case, request_id = make(tmp_path / str(k))
        kill_on_the_way(case, request_id, rng, count)
        check_end(case, request_id)
        digest = plan_of(case, request_id)["hash"]
        (file,) = (case.desk.runs / digest[:16] / "run").rglob("model.safetensors")
        weights.add(file.read_bytes())
        case.desk.close()
        print(f"\ndesk {k}: {count}", flush=True)
    assert count.is_enough(), str(count)
    assert len(weights) == 1


WAYS = pytest.mark.parametrize("make", [waiting_case, signed_waiting_case], ids=["plain", "signed"])


@WAYS
def test_kills_at_random_moments(tmp_path: Path, make: Case) -> None:
    run_kills(tmp_path, make)


@WAYS
def test_kills_at_random_moments_on_postgres(tmp_path: Path, make: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    if problem := postgres.problem():
        pytest.skip(problem)
    with postgres.server() as url:
        monkeypatch.setenv("EXPUNGE_DESK_SERVER", url)
        run_kills(tmp_path, make)


SUB_STEPS = (
    "expunge.desk.certificates.register_all",
    "expunge.desk.evidence_log.append_entries",
    "expunge.desk.evidence_log.note_anchor",
    "expunge.evidence.envelope.save_envelope",
    "expunge.evidence.certificate.make_certificate",
)


@pytest.mark.parametrize("place", SUB_STEPS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_between_two_parts_of_certify(tmp_path: Path, place: str, when: str) -> None:
    """The worker ends at that place, once; the next one makes the same certificate, and one only."""
    case, request_id = signed_waiting_case(tmp_path)
    work_off(case)
    approve(case, request_id)
    with worker(case, "w1", FAKE_SECONDS="0.2", DIE_AT=place, DIE_WHEN=when) as process:
        assert process.wait(120) == 9
    assert (case.folder / "died").read_text() == place
    work_off(case, FAKE_SECONDS="0.2")
    for _ in range(2):
        open_gate(case, request_id)
        work_off(case)
    assert is_over(case, request_id)
    check_end(case, request_id)


def test_a_frozen_worker_that_wakes_up_registers_nothing(tmp_path: Path) -> None:
    case, request_id = waiting_case(tmp_path)
    work_off(case)
    approve(case, request_id)
    with worker(case, "w1", FAKE_SECONDS="30") as first:
        wait_for(lambda: any(case.desk.runs.glob("*/trainings")))
        os.kill(first.pid, signal.SIGSTOP)
        child = int(next(case.desk.runs.glob("*/trainings")).read_text().split()[0])
        work_off(case, "w2", shift=SHIFT + 0.1, FAKE_SECONDS="0.2")  # to it, w1 has been silent for six minutes
        assert not alive(child)
        assert case.state(request_id) == "audit_passed"
        os.kill(first.pid, signal.SIGCONT)
        first.communicate(timeout=120)
    assert case.state(request_id) == "audit_passed"
    approve(case, request_id)
    work_off(case, "w3", shift=SHIFT + 0.2)
    check_end(case, request_id)


def test_kills_leave_one_receipt_for_each_request(tmp_path: Path) -> None:
    """Workers that write and hand over letters on the way are killed at random moments."""
    letters = {"contact": "a@b", "authority": "DPC", "acknowledge": True}
    case = make_desk(tmp_path / "desk", controller="St. Mary", letters=letters)
    case.clock.now = datetime.now(UTC)
    rng, requests = random.Random(7), [new_request(case, {"record_number": f"N-{k}"}) for k in range(60)]
    for _ in range(6):
        (case.folder / "started").unlink(missing_ok=True)
        with worker(case, "w1") as process:
            wait_for(lambda: process.poll() is not None or (case.folder / "started").is_file(), pause=0.01)
            time.sleep(rng.uniform(0, 0.5))
    work_off(case)
    with case.desk.reading(SYSTEM) as s:
        rows = s.conn.execute(select(t.outbox)).mappings().all()
        assert replay_problems(s.conn) == []
        assert log_problems(s.conn) == []
    assert sorted(row["request_id"] for row in rows if row["accepted_at"]) == sorted(requests)
    assert len(list((case.folder / "letters").iterdir())) == len(rows) == len(log_rows(case, "letter.accept"))
    assert len(log_rows(case, "request.acknowledge")) == len(requests)
