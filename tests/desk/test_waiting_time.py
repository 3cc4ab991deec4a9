"""When a request ends because nobody answered: never a verified one, and never before the person could answer."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")

from sqlalchemy import text, update

from expunge.desk import tables as t
from expunge.desk.desk import Desk
from expunge.desk.dispatch import round_of
from expunge.desk.facts import request_row
from expunge.desk.letter_text import read_letter
from expunge.desk.letters import queue_letter
from expunge.desk.migrations import STEPS, migrate
from expunge.desk.replay_check import replay_problems
from expunge.desk.roles import SYSTEM
from expunge.evidence.letter import phrases
from helpers.desk import CLERK, REVIEWER, DeskCase, make_desk, new_request, to_review, verify


@pytest.fixture
def case(tmp_path: Path) -> DeskCase:
    letters = {"contact": "privacy@hospital.example", "authority": "Commissioner, 2 Example Street"}
    return make_desk(tmp_path / "desk", controller="St. Mary", letters=letters)


def states_after(case: DeskCase, *requests: str, days: float = 0) -> list[str]:
    """States after some days and a round of a worker."""
    case.clock.move(days=days)
    with case.desk.session(SYSTEM) as s:
        round_of(s)
        assert replay_problems(s.conn) == []
    return [case.state(request_id) for request_id in requests]


def test_a_letter_that_lay_about_expires_after_it_was_entered(case: DeskCase) -> None:
    late = new_request(case, received_at=case.clock.now - timedelta(days=45))
    assert states_after(case, late) == ["identity_pending"]
    assert states_after(case, late, days=29.9) == ["identity_pending"]
    assert states_after(case, late, days=0.2) == ["expired"]


def test_a_verified_request_waits_for_its_clerk(case: DeskCase) -> None:
    verified, silent = new_request(case), new_request(case)
    case.clock.move(days=5)
    verify(case, verified)
    assert states_after(case, verified, silent, days=300) == ["identity_pending", "expired"]
    assert case.event(CLERK, verified, "begin_scoping") == "scoping"


def test_a_hold_stops_the_time_for_identity(case: DeskCase) -> None:
    held = new_request(case)
    case.event(CLERK, held, "hold", reason="a court asks")
    case.clock.move(days=40)
    case.event(CLERK, held, "release", reason="it has answered")
    assert states_after(case, held, days=29) == ["identity_pending"]
    assert states_after(case, held, days=2) == ["expired"]


@pytest.mark.parametrize("language", ["en", "de", "fr"])
def test_the_letter_says_why_it_expired(case: DeskCase, language: str) -> None:
    held, silent = to_review(case), new_request(case, {"name": "Late"}, language=language)
    case.event(REVIEWER, held, "hold", reason="a court asks")
    with case.desk.session(SYSTEM) as s:
        s.conn.execute(update(t.request).where(t.request.c.id == held).values(language=language))
    assert states_after(case, held, silent, days=61) == ["expired", "expired"]
    said = phrases(language)["outcomes"]
    for request_id, outcome in ((held, "expired_on_hold"), (silent, "expired")):
        with case.desk.session(SYSTEM) as s:
            letter = queue_letter(s, request_id)
        assert said[outcome] in read_letter(case.desk, CLERK, letter)


def test_an_older_database_learns_when_it_asked(case: DeskCase) -> None:
    asked_at = case.clock.now
    old, held = (new_request(case, received_at=asked_at - timedelta(days=45)) for _ in range(2))
    case.event(CLERK, held, "hold", reason="a court asks")
    case.clock.move(days=3)
    case.event(CLERK, held, "release", reason="it has answered")
    with case.desk.session(SYSTEM) as s:
        before = [request_row(s, each)["identity_asked_at"] for each in (old, held)]
        assert before[0] < before[1]
        s.conn.execute(text("ALTER TABLE request DROP COLUMN identity_asked_at"))
        s.conn.execute(text("UPDATE schema_version SET number = 5"))
        assert migrate(s.conn) == len(STEPS)
    with Desk.open(case.folder, case.clock).session(SYSTEM) as s:
        assert [request_row(s, each)["identity_asked_at"] for each in (old, held)] == before
        assert round_of(s) == []
    assert case.state(old) == "identity_pending"
