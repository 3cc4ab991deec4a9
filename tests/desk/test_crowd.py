"""Four workers and many requests at once, while workers are frozen and killed: nothing happens twice, nothing is lost.

EXPUNGE_DESK_CROWD says how many requests there are (8 without it), EXPUNGE_DESK_SEED names a seed. `-s` shows counts.
"""

from __future__ import annotations

import os
import random
import time
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("dbos")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")

from expunge.errors import RunFailed
from helpers import postgres
from helpers.desk_crowd import check_crowd, events, make_crowd, work_as_people
from helpers.desk_trouble import Trouble

pytestmark = [pytest.mark.process, pytest.mark.matrix]
SIZE = int(os.environ.get("EXPUNGE_DESK_CROWD", "8"))
WORKERS, WARDS = 4, 4
STEPS = ("plan.store", "run.start", "model.swap", "work.resume", "work.takeover")


def run_crowd(tmp_path: Path) -> None:
    rng = random.Random(int(os.environ.get("EXPUNGE_DESK_SEED", "5")))
    crowd = make_crowd(tmp_path / "desk", SIZE, WARDS)
    began = time.monotonic()
    with Trouble(crowd.case, WORKERS, random.Random(rng.random()), most=2 * SIZE) as trouble:
        while (share := crowd.share()) < 1:
            trouble.share = share
            assert time.monotonic() < began + 60 + 60 * SIZE, f"stuck: {crowd.states()}"
            time.sleep(0.2)
            with suppress(RunFailed):  # a frozen worker held the database for too long; people try again
                work_as_people(crowd, rng)
    types = [type_ for type_, _, _ in events(crowd)]
    steps = {name: types.count(name) for name in STEPS}
    print(f"\n{SIZE} requests in {time.monotonic() - began:.0f} s; {trouble}; {steps}; {dict(crowd.acts)}", flush=True)
    check_crowd(crowd)


def test_a_crowd_with_frozen_and_killed_workers(tmp_path: Path) -> None:
    run_crowd(tmp_path)


def test_a_crowd_on_postgres(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if problem := postgres.problem():
        pytest.skip(problem)
    with postgres.server() as url:
        monkeypatch.setenv("EXPUNGE_DESK_SERVER", url)
        run_crowd(tmp_path)
