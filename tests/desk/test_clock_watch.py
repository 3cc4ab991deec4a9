"""A worker whose clock is wrong changes nothing, and one whose clock may be wrong asks a person first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest

pytest.importorskip("dbos")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")

from sqlalchemy import select

from expunge.desk import clock_watch
from expunge.desk import tables as t
from expunge.desk import worker as worker_module
from expunge.desk.assets import asset_row
from expunge.desk.clock_watch import SILENCE_DAYS, ClockWatch, WrongClock, longest_silence
from expunge.desk.leases import beat, register_worker
from expunge.desk.names import stamp
from expunge.desk.probes import keep_probes
from expunge.desk.roles import SYSTEM
from expunge.desk.worker import DeskWorker
from expunge.desk.workshop import Workshop
from helpers.desk import CLERK, DeskCase, make_desk, new_request, verify

YEARS = 3 * 365


class Stage:
    """A desk with a worker, beside a steady clock that nobody sets."""

    def __init__(self, case: DeskCase) -> None:
        self.case, self.steady = case, 0.0
        self.requests = [new_request(case, {"record_number": f"N-{number}"}) for number in range(3)]
        with case.desk.session(SYSTEM) as s:
            keep_probes(s, self.requests[0], asset_row(s, "notes")["id"], [{"id": "x"}])

    def worker(self, *, is_confirmed: bool = False, name: str = "w1") -> DeskWorker:
        return DeskWorker(Workshop(self.case.desk, name), round_seconds=0, clock=ClockWatch(is_confirmed))

    def pass_time(self, **by: float) -> None:
        """Time goes by, by all clocks."""
        self.case.clock.move(**by)
        self.steady += timedelta(**by).total_seconds()

    def unharmed(self) -> bool:
        """Whether the requests wait as before, and their probe can be read."""
        with self.case.desk.reading(SYSTEM) as s:
            shredded = s.conn.execute(select(t.probe.c.shredded_at)).scalars().all()
        states = {self.case.state(each) for each in self.requests}
        return shredded == [None] and states == {"identity_pending"}

    def types(self) -> list[str]:
        with self.case.desk.reading(SYSTEM) as s:
            return list(s.conn.execute(select(t.event_log.c.type)).scalars())


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    made = Stage(make_desk(tmp_path / "desk"))
    monkeypatch.setattr(worker_module, "DBOS", MagicMock())
    monkeypatch.setattr(worker_module, "listed_work", lambda **_: [])
    monkeypatch.setattr(worker_module.threading, "Thread", lambda **_: SimpleNamespace(start=lambda: None))
    monkeypatch.setattr(clock_watch, "steady_seconds", lambda: made.steady)
    if made.case.desk.engine.dialect.name == "postgresql":  # whose clock is not that of the test
        monkeypatch.setattr(clock_watch, "check_reference", lambda s: None)
    yield made
    made.case.desk.close()


def test_a_clock_that_is_behind_is_refused(stage: Stage) -> None:
    if stage.case.desk.engine.dialect.name != "sqlite":
        pytest.skip("the database has a clock")
    stage.case.clock.move(hours=-2)
    with pytest.raises(WrongClock, match="away from the clock"):
        stage.worker().start()


def test_a_clock_far_ahead_at_the_start_is_refused(stage: Stage) -> None:
    stage.case.clock.move(days=YEARS)
    with pytest.raises(WrongClock, match=r"silent for 1,095 days; if it is right, start .* --clock-is-right"):
        stage.worker().start()
    assert stage.unharmed()
    assert "worker.start" not in stage.types()


@pytest.mark.parametrize("days", [0, 3, SILENCE_DAYS - 0.1])
def test_weekends_and_holidays_need_no_word(stage: Stage, days: float) -> None:
    stage.worker().start()
    stage.pass_time(days=days)
    works = stage.worker()
    works.start()
    assert not works.once()
    assert "clock.confirm" not in stage.types()


def test_somebody_confirms_a_long_silence(stage: Stage) -> None:
    stage.worker().start()
    stage.pass_time(days=40)
    works = stage.worker(is_confirmed=True)
    works.start()
    assert stage.types().count("clock.confirm") == 1
    works.once()
    assert not stage.unharmed()  # their time is over by now
    stage.worker().start()
    assert stage.types().count("clock.confirm") == 1


def test_nobody_is_asked_before_the_first_request(tmp_path: Path, stage: Stage) -> None:
    case = make_desk(tmp_path / "new")
    case.clock.move(days=90)
    DeskWorker(Workshop(case.desk, "w1")).start()


def test_what_somebody_did_meanwhile_hides_no_jump(stage: Stage) -> None:
    stage.worker().start()
    stage.case.clock.move(days=YEARS)
    verify(stage.case, new_request(stage.case))  # by a clerk whose machine has the same clock
    with pytest.raises(WrongClock, match="silent"):
        stage.worker().start()
    assert stage.unharmed()


def test_people_who_work_on_without_a_worker_are_no_silence(stage: Stage) -> None:
    stage.worker().start()
    for _ in range(4):
        stage.pass_time(days=SILENCE_DAYS - 1)
        new_request(stage.case)
    stage.worker().start()


def test_a_clock_that_jumps_between_rounds_stops_them(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    works = stage.worker()
    works.start()
    stage.pass_time(hours=1)
    assert not works.once()
    right = stage.case.clock.now
    stage.case.clock.move(days=YEARS)
    with pytest.raises(WrongClock, match="was set ahead by 94,608,000 s"):
        works.once()
    assert stage.unharmed()
    with pytest.raises(WrongClock, match="was set ahead"):
        works.run(until_idle=True)
    rounds = iter([None, None])
    works._stop.wait = lambda seconds=None: next(rounds, works.stop())  # type: ignore[assignment,func-returns-value]
    works.run()
    assert capsys.readouterr().err.count("was set ahead") == 1
    assert stage.unharmed()
    stage.case.clock.now = right
    stage.pass_time(hours=1)
    assert not works.once()
    stage.case.clock.move(hours=-1)
    with pytest.raises(WrongClock, match="was set back by 3,600 s"):
        works.once()


def test_a_confirmation_covers_no_later_jump(stage: Stage) -> None:
    works = stage.worker(is_confirmed=True)
    works.start()
    stage.case.clock.move(days=YEARS)
    with pytest.raises(WrongClock, match="was set ahead"):
        works.once()
    assert stage.unharmed()


def test_a_worker_with_a_wrong_clock_gives_no_sign_of_life(stage: Stage) -> None:
    works = stage.worker()
    works.start()
    before = stage.case.clock.now
    stage.case.clock.move(days=YEARS)
    waits = iter([False, True])
    works._stop.wait = lambda seconds=None: next(waits)  # type: ignore[assignment]
    works._beat()
    with stage.case.desk.reading(SYSTEM) as s:
        assert s.conn.execute(select(t.worker.c.heartbeat_at)).scalar_one() == stamp(before)


def test_a_sign_of_life_of_the_future_counts_for_nothing(stage: Stage) -> None:
    now = stage.case.clock.now
    with stage.case.desk.session(SYSTEM) as s:
        register_worker(s, "w1", "v")
    stage.case.clock.move(days=YEARS)
    with stage.case.desk.session(SYSTEM) as s:
        beat(s, "w1")
    stage.case.clock.now = now
    stage.pass_time(days=SILENCE_DAYS + 1)
    with stage.case.desk.reading(CLERK) as s:
        assert longest_silence(s) == (now, timedelta(days=SILENCE_DAYS + 1))
