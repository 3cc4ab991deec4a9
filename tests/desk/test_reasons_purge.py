"""Every reason belongs to a request and goes with it, also the one for revealing a text or stopping a run."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")

from sqlalchemy import select, text, update

from expunge.desk import tables as t
from expunge.desk.desk import Desk
from expunge.desk.matching import matches, reveal
from expunge.desk.plans import approve_plan
from expunge.desk.reasons import read_reasons
from expunge.desk.record_period import purge_records
from expunge.desk.roles import SYSTEM
from expunge.desk.runs import cancel_run, start_run
from helpers.desk import APPROVER, CLERK, OPERATOR, DeskCase, make_desk, pass_window, to_planned, to_review, to_waiting

WHY, STOP = "is this the Anna Weiß born 1980?", "Björn Schäfer called"
BJORN = {"name": "Björn Schäfer", "record_number": "PAT-101"}


@pytest.fixture
def case(tmp_path: Path) -> DeskCase:
    return make_desk(tmp_path / "desk", batch_size=2, batch_hours=200)


def stopped_run(case: DeskCase) -> list[str]:
    """Two requests of one run, for one of which a text was revealed; the run was stopped."""
    anna, bjorn = to_waiting(case), to_waiting(case, BJORN)
    pass_window(case)
    with case.desk.reading(CLERK) as s:
        match = matches(s, anna)[0]["id"]
    reveal(case.desk, CLERK, match, WHY)
    digest = to_planned(case, anna)
    with case.desk.session(APPROVER) as s:
        approve_plan(s, digest)
    with case.desk.session(SYSTEM) as s:
        start_run(s, digest, 1)
    case.clock.move(minutes=1)
    with case.desk.session(OPERATOR) as s:
        cancel_run(s, digest, STOP)
    return [anna, bjorn]


def texts(case: DeskCase, request_id: str) -> dict[str, str]:
    return {each["event"]: each["text"] for each in read_reasons(case.desk, CLERK, request_id)}


def end(case: DeskCase, request_id: str) -> None:
    """A closed request; its purge follows in the next round."""
    with case.desk.session(SYSTEM) as s:
        here = t.request.c.id == request_id
        s.conn.execute(update(t.request).where(here).values(state="closed", closed_at=s.at, batch_id=None))
        purge_records(s)


def readable(case: DeskCase) -> set[str | None]:
    """Requests of which a reason can be read; None for a reason of nobody."""
    with case.desk.reading(SYSTEM) as s:
        return set(s.conn.execute(select(t.reason.c.request_id).where(t.reason.c.ciphertext.is_not(None))).scalars())


def test_a_reason_goes_with_its_request(case: DeskCase) -> None:
    anna, bjorn = stopped_run(case)
    assert texts(case, anna) == {"reveal": WHY, "cancel_run": STOP}
    assert texts(case, bjorn) == {"cancel_run": STOP}
    end(case, anna)
    assert readable(case) == {bjorn}
    end(case, bjorn)
    assert readable(case) == set()


def test_no_reason_is_kept_without_a_request(case: DeskCase) -> None:
    with pytest.raises(TypeError), case.desk.session(SYSTEM) as s:
        s.keep_reason("why", "event")  # type: ignore[call-arg]


def as_before(case: DeskCase, anna: str, bjorn: str) -> None:
    """The reasons as earlier versions kept them: one for a run, and without a request."""
    with case.desk.session(SYSTEM) as s:
        here = t.reason.c.event.in_(("reveal", "cancel_run"))
        s.conn.execute(t.reason.delete().where(here, t.reason.c.request_id == bjorn))
        s.conn.execute(update(t.reason).where(here).values(request_id=None))
        s.conn.execute(text("UPDATE schema_version SET number = 5"))


def test_an_older_database_gives_reasons_to_requests(case: DeskCase) -> None:
    anna, bjorn = stopped_run(case)
    as_before(case, anna, bjorn)
    assert texts(case, anna) == {}
    opened = DeskCase(Desk.open(case.folder, case.clock), case.clock)
    assert texts(opened, anna) == {"reveal": WHY, "cancel_run": STOP}
    assert texts(opened, bjorn) == {"cancel_run": STOP}


def test_an_older_database_forgets_what_was_purged(case: DeskCase) -> None:
    anna, bjorn = stopped_run(case)
    as_before(case, anna, bjorn)
    end(case, anna)
    assert readable(case) == {None}
    with case.desk.session(SYSTEM) as s:
        s.keep_reason("a reason of nobody", "strange", anna)
        s.conn.execute(update(t.reason).where(t.reason.c.event == "strange").values(request_id=None))
    opened = DeskCase(Desk.open(case.folder, case.clock), case.clock)
    assert readable(opened) == {bjorn}


def test_a_reason_of_a_review_is_no_stray(case: DeskCase) -> None:
    request_id = to_review(case)
    with case.desk.reading(CLERK) as s:
        match = matches(s, request_id)[0]["id"]
    reveal(case.desk, CLERK, match, WHY)
    assert readable(case) == {request_id}
