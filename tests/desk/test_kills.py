"""Workers that are killed or frozen at random moments: one certificate, one exchange, one letter, a whole log.

The number of kills comes from EXPUNGE_DESK_KILLS (12 without it).
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

pytest.importorskip("dbos")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")

from helpers.desk import DeskCase
from helpers.desk_processes import SHIFT, alive, approve, check_end, plan_of, wait_for, waiting_case, work_off, worker

pytestmark = [pytest.mark.process, pytest.mark.matrix]
KILLS = int(os.environ.get("EXPUNGE_DESK_KILLS", "12"))


def killed_way(case: DeskCase, request_id: str, rng: random.Random, kills: int) -> int:
    """Carry a request to its letter with a worker that is killed every few moments; returns how often it was."""
    done = 0
    for _ in range(200):
        state = case.state(request_id)
        if state == "notified":
            return done
        if state in ("planned", "audit_passed") and certified(case, request_id, state):
            approve(case, request_id)
        if done >= kills:
            work_off(case, "w1", FAKE_SECONDS="0.2")
            continue
        with worker(case, "w1", FAKE_SECONDS="1") as process:
            wait_for(lambda: process.poll() is not None or started(case))
            time.sleep(rng.expovariate(1 / 1.5))
            if process.poll() is None:
                done += 1
                process.kill()
                process.wait()
        (case.folder / "started").unlink(missing_ok=True)
    raise AssertionError(f"stuck in {case.state(request_id)}")


def started(case: DeskCase) -> bool:
    return (case.folder / "started").is_file()


def certified(case: DeskCase, request_id: str, state: str) -> bool:
    from expunge.desk.facts import latest_run
    from expunge.desk.roles import SYSTEM

    if state == "planned":
        return True
    with case.desk.reading(SYSTEM) as s:
        run = latest_run(s, plan_of(case, request_id)["hash"])
    return bool(run and run["certificate_verified_at"])


def test_kills_at_random_moments(tmp_path: Path) -> None:
    rng, left, k = random.Random(int(os.environ.get("EXPUNGE_DESK_SEED", "5"))), KILLS, 0
    weights = set()
    while left > 0:
        case, request_id = waiting_case(tmp_path / str(k))
        left -= max(1, killed_way(case, request_id, rng, min(left, 12)))
        check_end(case, request_id)
        digest = plan_of(case, request_id)["hash"]
        weights.add((case.desk.runs / digest[:16] / "run" / "model.safetensors").read_bytes())
        case.desk.close()
        k += 1
    assert len(weights) == 1


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
