"""A round of a worker over an inbox of any size: what waits costs it no statement of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")

from sqlalchemy import event

from expunge.desk import tables as t
from expunge.desk.dispatch import round_of
from expunge.desk.letter_providers.base import LetterNotTaken
from expunge.desk.letters import PAUSE_SECONDS, Sender, notify_ended, send_waiting
from expunge.desk.requests import submit
from expunge.desk.roles import SYSTEM
from helpers.desk import CLERK, DeskCase, make_desk


def fill(case: DeskCase, first: int, last: int, **values: object) -> None:
    """Requests that wait for an identity, or what `values` makes of them."""
    with case.desk.session(CLERK) as s:
        ids = [submit(s, {"record_number": f"N-{number:04}"}) for number in range(first, last)]
        if values:
            s.conn.execute(t.request.update().where(t.request.c.id.in_(ids)).values(**values))


def statements(case: DeskCase, sender: Sender | None = None) -> int:
    """Statements of one round, with the letters of what ended early."""
    count = 0

    def note(*_: object) -> None:
        nonlocal count
        count += 1

    event.listen(case.desk.engine, "before_cursor_execute", note)
    try:
        with case.desk.session(SYSTEM) as s:
            assert round_of(s) == []
        assert notify_ended(case.desk, sender) == []
        assert send_waiting(case.desk, sender) == []
    finally:
        event.remove(case.desk.engine, "before_cursor_execute", note)
    return count


@pytest.mark.parametrize("state", ["identity_pending", "closed", "expired"])
def test_what_waits_costs_no_statement(tmp_path: Path, state: str) -> None:
    case = make_desk(tmp_path / "desk")
    at = case.clock.now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    values = {"state": state, **({"closed_at": at, "purged_at": at} if state == "closed" else {})}
    fill(case, 0, 2, **values)
    statements(case)
    few = statements(case)
    fill(case, 2, 32, **values)
    statements(case)  # queues the letters of those that have expired
    assert statements(case) == few


def test_a_letter_that_a_clerk_must_post_costs_no_statement(tmp_path: Path) -> None:
    """Requests in their purge, each of a batch of its own, with all tasks done and a letter in the outbox."""
    case = make_desk(tmp_path / "desk")

    def purging(first: int, last: int) -> None:
        fill(case, first, last, state="purging")
        with case.desk.session(SYSTEM) as s:
            new = t.request.c.batch_id.is_(None)
            for row in s.conn.execute(t.request.select().where(new)).mappings().all():
                times = {"opened_at": s.at, "closes_at": s.at}
                s.conn.execute(t.batch.insert().values(id=row["id"], lineage="", state="closed", **times))
                letter = {"id": row["id"], "request_id": row["id"], "template": "fulfilled", "version": 1}
                s.conn.execute(t.outbox.insert().values(**letter, at=s.at))
            s.conn.execute(t.request.update().where(new).values(batch_id=t.request.c.id))

    purging(0, 2)
    few = statements(case)
    purging(2, 32)
    assert statements(case) == few


@pytest.mark.parametrize("settings", [{"acknowledge": True}, {"identification": {"en": "Show your passport."}}])
def test_a_letter_on_the_way_costs_no_statement(tmp_path: Path, settings: dict[str, object]) -> None:
    letters = {"contact": "a@b", "authority": "DPC", **settings}
    case = make_desk(tmp_path / "desk", controller="St. Mary", letters=letters)
    fill(case, 0, 2)
    statements(case)  # writes them
    few = statements(case)
    fill(case, 2, 32)
    statements(case)
    assert statements(case) == few
    with case.desk.session(CLERK) as s:
        assert len(s.conn.execute(t.outbox.select()).all()) == 32
        s.conn.execute(t.outbox.update().values(accepted_at=s.at))
    assert statements(case) == few


@pytest.mark.parametrize("for_clerk", [True, False])
def test_a_letter_that_was_not_taken_costs_no_statement(tmp_path: Path, for_clerk: bool) -> None:
    case = make_desk(tmp_path / "desk")
    asked: list[str] = []

    def refuse(key: str, path: str) -> str:
        asked.append(key)
        raise LetterNotTaken("the server is not reached", for_clerk=for_clerk)

    fill(case, 0, 2, state="expired")
    statements(case, refuse)
    few = statements(case, refuse)
    fill(case, 2, 32, state="expired")
    statements(case, refuse)
    assert statements(case, refuse) == few
    assert len(asked) == 32
    case.clock.move(seconds=PAUSE_SECONDS)
    statements(case, refuse)
    assert len(asked) == (32 if for_clerk else 64)


def test_a_plan_that_waits_for_its_approval_costs_no_statement(tmp_path: Path) -> None:
    """Requests without work on a model, each in a batch of its own with a plan of its own."""
    case = make_desk(tmp_path / "desk")

    def planned(first: int, last: int) -> None:
        fill(case, first, last, state="planned")
        with case.desk.session(SYSTEM) as s:
            new = t.request.c.batch_id.is_(None)
            for k, row in enumerate(s.conn.execute(t.request.select().where(new)).mappings().all(), first):
                name, times = row["id"], {"opened_at": s.at, "closes_at": s.at}
                s.conn.execute(t.batch.insert().values(id=name, lineage="", state="closed", **times))
                plan = {"id": name, "hash": f"{k:064}", "batch_id": name, "number": 1, "kind": "none", "author": "x"}
                content = json.dumps({"requests": [name]})
                s.conn.execute(t.plan.insert().values(**plan, content=content, state="current", at=s.at))
            s.conn.execute(t.request.update().where(new).values(batch_id=t.request.c.id))

    planned(0, 2)
    few = statements(case)
    planned(2, 32)
    assert statements(case) == few
    with case.desk.session(SYSTEM) as s:
        s.conn.execute(t.plan.update().where(t.plan.c.hash == f"{7:064}").values(state="void"))
        round_of(s)
        assert s.conn.execute(t.request.select().where(t.request.c.state == "waiting")).one().batch_id is not None


def test_all_that_is_over_expires_in_one_round(tmp_path: Path) -> None:
    case = make_desk(tmp_path / "desk")
    fill(case, 0, 5)
    case.clock.move(days=20)
    fill(case, 5, 7)
    assert statements(case) > 0
    with case.desk.reading(SYSTEM) as s:
        assert s.conn.execute(t.request.select().where(t.request.c.state == "expired")).all() == []
    case.clock.move(days=11)
    statements(case)
    with case.desk.reading(SYSTEM) as s:
        states = [row.state for row in s.conn.execute(t.request.select().order_by(t.request.c.received_at))]
    assert states == ["expired"] * 5 + ["identity_pending"] * 2
