"""A request keeps the rules under which it was opened, whatever becomes of their file; a lost file stops no worker."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from unittest.mock import MagicMock

import pytest

pytest.importorskip("dbos")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")

from sqlalchemy import select, text

from expunge.desk import clock_watch
from expunge.desk import worker as worker_module
from expunge.desk.clock_watch import ClockWatch
from expunge.desk.condition import desk_condition
from expunge.desk.desk import Desk
from expunge.desk.dispatch import round_of
from expunge.desk.facts import request_row
from expunge.desk.migrations import STEPS
from expunge.desk.regime_texts import LostRules, keep_open_rules, regime_text, rules_of
from expunge.desk.requests import extend
from expunge.desk.roles import SYSTEM
from expunge.desk.worker import DeskWorker
from expunge.desk.workflows import VERSION
from expunge.desk.workshop import Workshop
from helpers.desk import REVIEWER, DeskCase, make_desk, new_request, verify

SHIPPED = (files("expunge.desk") / "policies" / "gdpr@1.yaml").read_text("utf-8").replace("name: gdpr", "name: own")
STRICTER = SHIPPED.replace("extension: {months: 2}", "extension: {months: 20}").replace("days: 30}", "days: 1}")


@pytest.fixture
def case(tmp_path: Path) -> DeskCase:
    case = make_desk(tmp_path / "desk")
    case.desk.policies.mkdir()
    write(case, SHIPPED)
    return case


def write(case: DeskCase, content: str | None) -> None:
    """The desk's own policy; None removes it."""
    file = case.desk.policies / "own@1.yaml"
    if content is None:
        file.unlink()
    else:
        file.write_text(content, "utf-8")


def forget_texts(case: DeskCase) -> None:
    """The database as a version made it that kept no rules."""
    with case.desk.session(SYSTEM) as s:
        s.conn.execute(text("DROP TABLE regime_text"))
        s.conn.execute(text("UPDATE schema_version SET number = 5"))


def a_round(case: DeskCase) -> None:
    with case.desk.session(SYSTEM) as s:
        round_of(s)


def reference(case: DeskCase, request_id: str) -> str:
    with case.desk.reading(SYSTEM) as s:
        return str(request_row(s, request_id)["reference"])


def problems(case: DeskCase) -> list[str]:
    return [line for line in desk_condition(case.desk, VERSION)["problems"] if line.startswith("policy ")]


@pytest.mark.parametrize("content", [STRICTER, None, "name: [", SHIPPED.replace("version: 1", "version: 2")])
def test_a_request_keeps_its_rules(case: DeskCase, content: str | None) -> None:
    request_id = new_request(case, regime="own@1")
    assert problems(case) == []
    write(case, content)
    case.clock.move(days=2)
    a_round(case)
    assert case.state(request_id) == "identity_pending"
    with case.desk.session(REVIEWER) as s:
        assert extend(s, request_id, "many requests") == "2026-06-02"
    case.clock.move(days=29)
    a_round(case)
    assert case.state(request_id) == "expired"


def test_doctor_names_a_file_that_was_changed(case: DeskCase) -> None:
    request_id = new_request(case, regime="own@1")
    write(case, STRICTER)
    (line,) = problems(case)
    assert line.startswith("policy own@1: its file was changed, and these requests keep the rules of before: ")
    assert reference(case, request_id) in line
    later = new_request(case, regime="own@1")
    assert reference(case, later) not in problems(case)[0]
    case.clock.move(days=2)
    a_round(case)
    assert [case.state(request_id), case.state(later)] == ["identity_pending", "expired"]
    write(case, None)
    assert problems(case) == []


def test_an_older_database_keeps_the_rules_that_still_fit(case: DeskCase) -> None:
    request_id, shipped = new_request(case, regime="own@1"), new_request(case)
    forget_texts(case)
    case = DeskCase(Desk.open(case.folder, case.clock), case.clock)
    with case.desk.session(SYSTEM) as s:
        assert s.conn.execute(text("SELECT number FROM schema_version")).scalar() == len(STEPS)
        assert keep_open_rules(s.conn, case.desk.policies, s.at) == []
        assert s.conn.execute(select(regime_text.c.key).order_by(regime_text.c.key)).scalars().all() == [
            "gdpr@1",
            "own@1",
        ]
    write(case, None)
    case.clock.move(days=31)
    a_round(case)
    assert [case.state(request_id), case.state(shipped)] == ["expired", "expired"]


@pytest.mark.parametrize("content", [STRICTER, None])
def test_a_lost_policy_stops_only_its_requests(
    case: DeskCase, content: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lost, cancelled, other = new_request(case, regime="own@1"), new_request(case, regime="own@1"), new_request(case)
    forget_texts(case)
    write(case, content)
    case = DeskCase(Desk.open(case.folder, case.clock), case.clock)
    case.clock.move(days=31)
    monkeypatch.setattr(worker_module, "DBOS", MagicMock())
    monkeypatch.setattr(worker_module, "listed_work", lambda **_: [])
    monkeypatch.setattr(clock_watch, "check_reference", lambda s: None)  # no database has the clock of the test
    shop = Workshop(case.desk, "w1", sender=lambda key, path: "posted")
    works = DeskWorker(shop, round_seconds=0, clock=ClockWatch(is_confirmed=True))
    for _ in range(2):
        works.once()
    assert [case.state(each) for each in (lost, other)] == ["identity_pending", "notified"]
    error = capsys.readouterr().err
    assert error.count("policy own@1: is not the one under which a request was opened") == 1
    assert all(reference(case, each) in error for each in (lost, cancelled))
    assert reference(case, lost) in problems(case)[0]
    assert case.event(REVIEWER, cancelled, "cancel", reason="asks another") == "cancelled"
    works.once()
    assert case.state(cancelled) == "cancelled"  # until when the person can object is not known
    with pytest.raises(LostRules, match="restore its file"):
        verify(case, lost)
    write(case, SHIPPED)
    works.once()
    assert [case.state(each) for each in (lost, cancelled)] == ["notified", "notified"]
    write(case, content)
    assert all("is not the one" not in line for line in problems(case))


def test_rules_that_somebody_changed_by_sql_do_not_count(case: DeskCase) -> None:
    new_request(case, regime="own@1")
    with case.desk.session(SYSTEM) as s:
        digest = s.conn.execute(select(regime_text.c.digest)).scalar_one()
        s.conn.execute(text("UPDATE regime_text SET content = replace(content, '30', '1')"))
        assert rules_of(s.conn, case.desk.policies, "own@1", digest).identity.days == 30  # of the file
    write(case, None)
    with case.desk.reading(SYSTEM) as s, pytest.raises(LostRules):
        rules_of(s.conn, case.desk.policies, "own@1", digest)


def test_a_round_that_fails_does_not_end_a_worker(
    case: DeskCase, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    works = DeskWorker(Workshop(case.desk, "w1"), round_seconds=0)
    tries: list[int] = []

    def once() -> bool:
        tries.append(1)
        if len(tries) == 4:
            works.stop()
        raise LostRules("own@1", "0" * 64)

    monkeypatch.setattr(works, "once", once)
    works.run()
    assert len(tries) == 4
    assert capsys.readouterr().err.count("policy own@1") == 1
    works._stop.clear()
    with pytest.raises(LostRules):
        works.run(until_idle=True)
