"""A recipient was told once somebody has noted it, and nothing says so before: not the letter, not a signed receipt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("dbos")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")
pytest.importorskip("securesystemslib")

from expunge.desk import tables as t
from expunge.desk.assets import add_asset
from expunge.desk.batches import busy
from expunge.desk.condition import desk_condition
from expunge.desk.dispatch import round_of
from expunge.desk.letter_text import letter_file
from expunge.desk.plan_steps import list_purge, notify, purge_request_assets
from expunge.desk.purging import NO_NOTICE, confirm_task, tasks
from expunge.desk.receipts import issue_receipts, receipts
from expunge.desk.recipients import note_notice, tasks_for_people
from expunge.desk.replay_check import replay_problems
from expunge.desk.roles import SYSTEM, Actor, Refusal
from expunge.desk.workshop import Workshop
from expunge.errors import InputError
from expunge.evidence.envelope import load_envelope
from helpers.desk import APPROVER, CLERK, OPERATOR, DeskCase, to_planned, to_waiting
from helpers.desk_evidence import promote_signed, signed_desk
from helpers.desk_stand_in import stand_in_child

PARTNER = "study partner"
Purging = tuple[DeskCase, str, Workshop]


@pytest.fixture
def purging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Purging:
    """A desk with a copy at a recipient, and a request of which a worker has done what it can."""
    monkeypatch.setenv("FAKE_SECONDS", "0")
    case = signed_desk(tmp_path / "desk")
    shop = Workshop(case.desk, "w1", run=stand_in_child)
    with case.desk.session(OPERATOR) as s:
        add_asset(s, PARTNER, "downstream", "recipient", {"recipient": "University", "days": 30})
    request_id = to_waiting(case, **{PARTNER: ("erase", "")})
    digest = to_planned(case, request_id)
    promote_signed(shop, case, request_id, digest)
    list_purge(shop, digest)
    assert purge_request_assets(shop, request_id) == {"open": 1}
    return case, request_id, shop


def task_of(case: DeskCase, request_id: str, asset: str = PARTNER) -> Any:
    with case.desk.reading(SYSTEM) as s:
        return next(row for row in tasks(s, request_id) if row["asset"] == asset)


def tell(case: DeskCase, request_id: str, actor: Actor = CLERK, day: str = "", note: str = "by a letter") -> str:
    with case.desk.session(actor) as s:
        return note_notice(s, task_of(case, request_id)["id"], day or s.today, note)


def lines(case: DeskCase) -> list[str]:
    with case.desk.reading(SYSTEM) as s:
        return [f"{each['asset']}: {each['what']}" for each in tasks_for_people(s)]


def purge_receipt(case: DeskCase, request_id: str) -> dict[str, Any]:
    """What the signed receipt says of the copy."""
    issue_receipts(case.desk)
    with case.desk.reading(SYSTEM) as s:
        path = next(row["path"] for row in receipts(s, request_id) if row["kind"] == "purge")
    content = json.loads(load_envelope(case.desk.runs / path).payload)
    return next(each for each in content["predicate"]["assets"] if each["kind"] == "downstream")


def test_a_task_of_a_recipient_waits_and_holds_up_no_worker(purging: Purging) -> None:
    case, request_id, shop = purging
    row = task_of(case, request_id)
    assert (row["state"], row["due_on"], row["problem"]) == ("open", None, NO_NOTICE)
    assert purge_request_assets(shop, request_id) == {"open": 1}
    assert task_of(case, request_id)["attempts"] == 1
    with case.desk.session(SYSTEM) as s:
        assert round_of(s) == []
        assert not busy(s, "ward")
    issue_receipts(case.desk)
    with case.desk.reading(SYSTEM) as s:
        assert [row["kind"] for row in receipts(s, request_id)] == ["promotion"]
    assert lines(case) == [f"{PARTNER}: {NO_NOTICE}; tell it, and note the day"]


def test_letter_and_receipt_say_when_it_was_told(purging: Purging) -> None:
    case, request_id, shop = purging
    with case.desk.reading(SYSTEM) as s:
        today = s.today
    until = tell(case, request_id)
    with case.desk.session(SYSTEM) as s:
        assert [job.workflow for job in round_of(s)] == ["release"]
        assert replay_problems(s.conn) == []
    notify(shop, request_id)
    text = letter_file(case.desk, request_id, "fulfilled").read_text("utf-8")
    assert f"the recipient was told on {today} (the confirmation of the recipient is awaited)" in text
    assert f"will be removed by {until}" not in text
    said = purge_receipt(case, request_id)
    assert (said["action"], said["date"]) == ("notified", today)
    assert said["reason"] == f"confirmation is awaited by {until}"


def test_a_confirmation_ends_it(purging: Purging) -> None:
    case, request_id, shop = purging
    tell(case, request_id)
    with case.desk.session(OPERATOR) as s:
        confirm_task(s, task_of(case, request_id)["id"], "their letter of today")
    notify(shop, request_id)
    assert "(confirmed by the recipient)" in letter_file(case.desk, request_id, "fulfilled").read_text("utf-8")
    assert "settled by hand" in purge_receipt(case, request_id)["reason"]
    case.clock.move(days=31)
    assert lines(case) == []


def test_dates_that_are_over_are_listed(purging: Purging) -> None:
    case, request_id, _ = purging
    until = tell(case, request_id)
    assert lines(case) == []
    case.clock.move(days=31)
    assert lines(case) == [f"{PARTNER}: the recipient had to confirm by {until}; ask it, then settle the task"]
    case.clock.move(days=60)
    backup = task_of(case, request_id, "nightly backup")["due_on"]
    assert f"nightly backup: had to expire by {backup}; look whether it has, then settle the task" in lines(case)
    assert any(PARTNER in line for line in desk_condition(case.desk, "1")["problems"])


@pytest.mark.parametrize(
    ("actor", "day", "note", "problem"),
    [
        (APPROVER, "", "by a letter", "may not do this"),
        (CLERK, "yesterday", "by a letter", "is no date"),
        (CLERK, "2099-01-01", "by a letter", "is not between"),
        (CLERK, "2020-01-01", "by a letter", "is not between"),
        (OPERATOR, "", " ", "a reason is missing"),
    ],
)
def test_what_is_no_notice_is_refused(purging: Purging, actor: Actor, day: str, note: str, problem: str) -> None:
    case, request_id, _ = purging
    with pytest.raises(InputError, match=problem):
        tell(case, request_id, actor, day, note)
    assert task_of(case, request_id)["state"] == "open"


def test_a_notice_is_noted_once_and_of_recipients_alone(purging: Purging) -> None:
    case, request_id, _ = purging
    tell(case, request_id)
    with pytest.raises(Refusal, match="noted already"):
        tell(case, request_id)
    with case.desk.session(CLERK) as s, pytest.raises(Refusal, match="no copy at a recipient"):
        note_notice(s, task_of(case, request_id, "nightly backup")["id"], s.today, "by a letter")


def test_a_task_that_an_older_version_dated_is_not_told(purging: Purging) -> None:
    case, request_id, shop = purging
    values = {"state": "dated", "due_on": "2027-01-08", "problem": None, "receipt": '{"note": "told"}'}
    with case.desk.session(SYSTEM) as s:
        s.conn.execute(t.task.update().where(t.task.c.problem == NO_NOTICE).values(**values))
    assert lines(case) == [f"{PARTNER}: {NO_NOTICE}; tell it, and note the day"]
    notify(shop, request_id)
    assert "the recipient is not told yet" in letter_file(case.desk, request_id, "fulfilled").read_text("utf-8")
    assert purge_receipt(case, request_id)["action"] == "stays"
