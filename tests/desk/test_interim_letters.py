"""Letters on the way: written once, withdrawn when they are outdated, and what counts once they are accepted."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")

from sqlalchemy import RowMapping, inspect, select, text

from expunge.desk import tables as t
from expunge.desk.condition import desk_condition
from expunge.desk.desk import Desk
from expunge.desk.dispatch import notify_accepted, round_of
from expunge.desk.facts import request_row
from expunge.desk.identity import record_identity
from expunge.desk.interim_letters import queue_interim_letters
from expunge.desk.letter_text import letter_file, read_letter
from expunge.desk.letters import accept_letter, notify_ended, pending_letters, send_waiting
from expunge.desk.migrations import STEPS
from expunge.desk.replay_check import replay_problems
from expunge.desk.requests import acknowledge, extend, submit
from expunge.desk.roles import SYSTEM, Actor
from expunge.desk.views import inbox, request_view
from expunge.desk.workflows import VERSION
from expunge.errors import InputError
from helpers.desk import ANNA, CLERK, REVIEWER, DeskCase, make_desk, new_request, to_review, verify
from helpers.web_log import log_rows

HOW = "Show your passport at the desk, or send a copy of it by post."
LETTERS: dict[str, Any] = {
    "contact": "privacy@hospital.example",
    "authority": "DPC",
    "acknowledge": True,
    "identification": {"en": HOW, "de": "Zeigen Sie uns Ihren Ausweis."},
}


@pytest.fixture
def case(tmp_path: Path) -> DeskCase:
    return make_desk(tmp_path / "desk", controller="St. Mary", letters=LETTERS)


def desk_with(folder: Path, **letters: Any) -> DeskCase:
    given = {"contact": "privacy@hospital.example", "authority": "DPC", **letters}
    return make_desk(folder / "desk", controller="St. Mary", letters=given)


def work(case: DeskCase) -> None:
    """A round of a worker without a provider."""
    with case.desk.session(SYSTEM) as s:
        round_of(s)
        notify_accepted(s)
    notify_ended(case.desk, None)


def letters(case: DeskCase, request_id: str, template: str = "") -> list[RowMapping]:
    with case.desk.reading(SYSTEM) as s:
        query = select(t.outbox).where(t.outbox.c.request_id == request_id).order_by(t.outbox.c.id)
        return [row for row in s.conn.execute(query).mappings() if template in ("", row["template"])]


def kinds(case: DeskCase, request_id: str) -> list[tuple[str, int, str | None]]:
    return [(row["template"], row["version"], row["withdrawn_for"]) for row in letters(case, request_id)]


def text_of(case: DeskCase, letter: RowMapping) -> str:
    return read_letter(case.desk, REVIEWER, letter["id"])


def posted(case: DeskCase, letter: RowMapping) -> bool:
    with case.desk.session(CLERK) as s:
        return accept_letter(s, letter["id"], "tray 4")


def row(case: DeskCase, request_id: str) -> RowMapping:
    with case.desk.reading(SYSTEM) as s:
        return request_row(s, request_id)


def problems(case: DeskCase) -> list[str]:
    return [line for line in desk_condition(case.desk, VERSION)["problems"] if line.startswith(("request", "state"))]


def put_off(case: DeskCase, request_id: str, reason: str = "Five wards keep notes on paper.") -> str:
    with case.desk.session(REVIEWER) as s:
        return extend(s, request_id, reason)


def test_a_receipt_is_written_once_and_asks_who_it_is(case: DeskCase) -> None:
    request_id = new_request(case, language="de")
    work(case)
    work(case)
    assert kinds(case, request_id) == [("acknowledgement", 1, None)]
    (letter,) = letters(case, request_id)
    page = text_of(case, letter)
    for needed in (
        row(case, request_id)["reference"],
        "2026-03-02",
        "2026-04-02",
        "Zeigen Sie uns Ihren Ausweis.",
        "DPC",
    ):
        assert needed in page
    assert not [name for name in ("Anna", "Weiß", "PAT-102") if name in page]
    assert posted(case, letter)
    first = row(case, request_id)["acknowledged_at"]
    case.clock.move(hours=1)
    assert not posted(case, letter)
    with case.desk.session(CLERK) as s:
        acknowledge(s, request_id)
    assert row(case, request_id)["acknowledged_at"] == first
    assert len(log_rows(case, "request.acknowledge")) == 1
    work(case)
    assert len(letters(case, request_id)) == 1
    assert problems(case) == []


def test_a_receipt_is_a_courtesy_where_the_policy_sets_no_day(tmp_path: Path) -> None:
    case = desk_with(tmp_path)
    plain, demanded = new_request(case), new_request(case, {"name": "B"}, regime="ccpa")
    work(case)
    assert kinds(case, plain) == []
    assert kinds(case, demanded) == [("acknowledgement", 1, None)]
    assert "Write to privacy@hospital.example" in text_of(case, letters(case, demanded)[0])


def test_a_desk_without_letters_writes_none_on_the_way(tmp_path: Path) -> None:
    case = make_desk(tmp_path / "desk")
    request_id = new_request(case, regime="ccpa")
    work(case)
    assert kinds(case, request_id) == []
    put_off(case, request_id)
    (letter,) = letters(case, request_id)
    assert letter["body_digest"] is None  # a clerk writes it


def test_a_late_receipt_is_a_problem(tmp_path: Path) -> None:
    case = desk_with(tmp_path)
    request_id = new_request(case, regime="ccpa")
    work(case)
    assert problems(case) == []
    case.clock.move(days=20)
    (line,) = problems(case)
    assert line.endswith("receipt is to be confirmed by 2026-03-16; post the letter that waits")
    posted(case, letters(case, request_id)[0])
    assert problems(case) == []


def test_who_is_known_is_not_asked(case: DeskCase) -> None:
    request_id = new_request(case)
    work(case)
    verify(case, request_id)
    work(case)
    assert kinds(case, request_id) == [("acknowledgement", 1, "identified"), ("acknowledgement", 2, None)]
    asks, knows = (text_of(case, letter) for letter in letters(case, request_id))
    assert (HOW in asks, HOW in knows) == (True, False)
    assert letter_file(case.desk, request_id, "acknowledgement", 2).is_file()


def test_a_failed_attempt_withdraws_nothing(case: DeskCase) -> None:
    request_id = new_request(case)
    work(case)
    with case.desk.session(CLERK) as s:
        record_identity(s, request_id, success=False, method="phone")
    work(case)
    assert kinds(case, request_id) == [("acknowledgement", 1, None)]


def test_each_asking_has_one_question(tmp_path: Path) -> None:
    case = desk_with(tmp_path, identification={"en": HOW})
    request_id = new_request(case)
    work(case)
    work(case)
    assert kinds(case, request_id) == [("identification", 1, None)]
    assert "2026-04-01" in text_of(case, letters(case, request_id)[0])  # 30 days to show it
    case.clock.move(days=3)
    case.event(CLERK, request_id, "hold", reason="x")
    work(case)
    case.clock.move(days=1)
    case.event(CLERK, request_id, "release", reason="x")
    work(case)
    work(case)
    assert kinds(case, request_id) == [("identification", 1, "not asked"), ("identification", 2, None)]
    assert "2026-04-05" in text_of(case, letters(case, request_id)[1])
    posted(case, letters(case, request_id)[1])
    assert row(case, request_id)["acknowledged_at"] is None
    case.clock.move(days=2)
    work(case)
    assert len(letters(case, request_id)) == 2


def test_a_receipt_by_hand_leaves_the_question_to_its_letter(case: DeskCase) -> None:
    request_id = new_request(case)
    work(case)
    with case.desk.session(CLERK) as s:
        acknowledge(s, request_id)
    work(case)
    assert kinds(case, request_id) == [("acknowledgement", 1, "confirmed"), ("identification", 1, None)]


@pytest.mark.parametrize("end", ["cancel", "revoke", "mark_duplicate", "expire"])
def test_a_request_that_ended_gets_no_outdated_letter(case: DeskCase, end: str) -> None:
    other = to_review(case)
    request_id = new_request(case)
    if end in ("revoke", "mark_duplicate"):
        verify(case, request_id)
    work(case)
    sent: list[str] = []
    if end == "cancel":
        case.event(REVIEWER, request_id, "cancel", reason="A mistake.")
    elif end == "revoke":
        case.event(Actor("carla", "subject"), request_id, "revoke", reason="x")
    elif end == "mark_duplicate":
        case.event(CLERK, request_id, "mark_duplicate", other=other)
    else:
        case.clock.move(days=31)
        work(case)
    assert [each["withdrawn_for"] for each in letters(case, request_id, "acknowledgement")][-1] == "over"
    send_waiting(case.desk, lambda key, path: sent.append(key) or "ok")
    notify_ended(case.desk, lambda key, path: sent.append(key) or "ok")
    own = {each["id"]: each["template"] for each in letters(case, request_id)}
    assert [own[key] for key in sent if key in own] == [row(case, request_id)["ended_as"]]
    with case.desk.reading(CLERK) as s:
        assert request_id not in {each["request_id"] for each in pending_letters(s)}
        assert replay_problems(s.conn) == []


def test_a_withdrawn_letter_that_went_out_all_the_same_is_noted(case: DeskCase) -> None:
    request_id = new_request(case)
    work(case)
    case.event(REVIEWER, request_id, "cancel", reason="A mistake.")
    (letter,) = letters(case, request_id)
    assert posted(case, letter)
    assert row(case, request_id)["acknowledged_at"] is not None
    with case.desk.reading(SYSTEM) as s:
        assert replay_problems(s.conn) == []


def test_an_extension_holds_once_the_person_is_told(case: DeskCase) -> None:
    request_id = new_request(case)
    verify(case, request_id)
    assert put_off(case, request_id) == "2026-06-02"
    (letter,) = letters(case, request_id, "extension")
    page = text_of(case, letter)
    for needed in ("Five wards keep notes on paper.", "2026-04-02", "2026-06-02"):
        assert needed in page
    with case.desk.reading(CLERK) as s:
        view = request_view(s, request_id)
        assert (view["due_on"], view["is_told"], inbox(s)[0]["due_on"]) == ("2026-04-02", False, "2026-04-02")
    assert problems(case) == []
    case.clock.move(days=25)
    assert "must be by 2026-04-02; post the letter" in problems(case)[0]
    posted(case, letter)
    with case.desk.reading(CLERK) as s:
        view = request_view(s, request_id)
        assert (view["due_on"], view["is_told"], inbox(s)[0]["due_on"]) == ("2026-06-02", True, "2026-06-02")
    assert problems(case) == []


@pytest.mark.parametrize("has_round", [True, False])
def test_a_letter_that_goes_out_late_puts_nothing_off(case: DeskCase, has_round: bool) -> None:
    request_id = new_request(case)
    verify(case, request_id)
    put_off(case, request_id)
    case.clock.move(days=32)
    if has_round:
        work(case)
    late = "had to be by 2026-04-02, which counts; answer now"
    assert any(late in line for line in problems(case))
    posted(case, letters(case, request_id, "extension")[0])
    assert kinds(case, request_id)[0] == ("extension", 1, "late")
    with case.desk.reading(CLERK) as s:
        view = request_view(s, request_id)
        assert (view["due_on"], view["is_told"], inbox(s)[0]["due_on"]) == ("2026-04-02", False, "2026-04-02")
        assert replay_problems(s.conn) == []
    assert any(late in line for line in problems(case))
    case.event(REVIEWER, request_id, "cancel", reason="Over.")
    assert not any(late in line for line in problems(case))


@pytest.mark.parametrize("has_round", [True, False])
@pytest.mark.parametrize(("day", "due_on"), [("2026-04-02", "2026-06-02"), ("2026-04-03", "2026-04-02")])
def test_the_day_of_posting_counts_not_that_of_the_note(case: DeskCase, day: str, due_on: str, has_round: bool) -> None:
    request_id = new_request(case)
    verify(case, request_id)
    put_off(case, request_id)
    case.clock.move(days=33)
    if has_round:
        work(case)
    letter = letters(case, request_id, "extension")[0]
    with case.desk.session(CLERK) as s:
        assert accept_letter(s, letter["id"], posted_on=day)
    assert letters(case, request_id, "extension")[0]["posted_on"] == day
    work(case)
    with case.desk.reading(CLERK) as s:
        view = request_view(s, request_id)
        assert (view["due_on"], view["is_told"]) == (due_on, due_on != "2026-04-02")
        assert inbox(s)[0]["due_on"] == due_on
        assert replay_problems(s.conn) == []
        assert f'"posted_on":"{day}"' in log_rows(case, "letter.accept")[-1][1]


@pytest.mark.parametrize(
    ("day", "message"),
    [
        ("yesterday", "the day of posting: is no date; write it as 2026-03-05"),
        ("2026-03-01", "is not between the day of the letter \\(2026-03-02\\) and today \\(2026-03-05\\)"),
        ("2026-03-06", "is not between the day of the letter"),
    ],
)
def test_a_day_on_which_nothing_was_posted_is_refused(case: DeskCase, day: str, message: str) -> None:
    request_id = new_request(case)
    put_off(case, request_id)
    case.clock.move(days=3)
    letter = letters(case, request_id, "extension")[0]
    with case.desk.session(CLERK) as s, pytest.raises(InputError, match=message):
        accept_letter(s, letter["id"], posted_on=day)
    assert letters(case, request_id, "extension")[0]["accepted_at"] is None


def test_a_reason_that_no_letter_says_puts_nothing_off(case: DeskCase) -> None:
    request_id = new_request(case)
    with pytest.raises(InputError, match='stands in a letter, which says "guarantee"'):
        put_off(case, request_id, "We guarantee an answer later.")
    with pytest.raises(InputError, match="longer than 2,000"):
        put_off(case, request_id, "x" * 2001)
    assert row(case, request_id)["extended_until"] is None
    assert letters(case, request_id, "extension") == []


def test_an_extension_of_before_such_letters_holds(case: DeskCase) -> None:
    request_id = new_request(case)
    put_off(case, request_id)
    with case.desk.session(SYSTEM) as s:
        s.conn.execute(t.outbox.delete().where(t.outbox.c.template == "extension"))
    with case.desk.reading(CLERK) as s:
        assert request_view(s, request_id)["due_on"] == "2026-06-02"
    assert problems(case) == []


def test_a_letter_on_the_way_ends_no_request(case: DeskCase) -> None:
    request_id = to_review(case)
    work(case)
    put_off(case, request_id)
    for letter in letters(case, request_id):
        if letter["withdrawn_at"] is None:
            posted(case, letter)
    work(case)
    assert case.state(request_id) == "legal_review"


def test_lost_rules_leave_the_letter_without_their_date(case: DeskCase) -> None:
    request_id = new_request(case)
    with case.desk.session(SYSTEM) as s:
        s.conn.execute(t.request.update().values(regime_digest="0" * 64))
        assert len(queue_interim_letters(s)) == 1
    page = text_of(case, letters(case, request_id)[0])
    assert HOW in page
    assert "the request ends" not in page


def test_a_desk_of_the_version_before_is_brought_up_to_date(case: DeskCase) -> None:
    request_id = new_request(case)
    with case.desk.engine.begin() as conn:
        conn.execute(text("DROP INDEX letter_waits"))
        for name in ("withdrawn_at", "withdrawn_for", "tries", "next_try_at", "problem"):
            conn.execute(text(f"ALTER TABLE outbox DROP COLUMN {name}"))
        conn.execute(text("UPDATE schema_version SET number = 7"))
    case.desk.close()
    desk = Desk.open(case.folder, case.clock)
    with desk.reading(SYSTEM) as s:
        assert "next_try_at" in {column["name"] for column in inspect(s.conn).get_columns("outbox")}
        assert s.conn.execute(text("SELECT number FROM schema_version")).scalar_one() == len(STEPS)
    opened = DeskCase(desk, case.clock)
    work(opened)
    assert kinds(opened, request_id) == [("acknowledgement", 1, None)]


def test_what_is_changed_behind_the_log_is_found(case: DeskCase) -> None:
    request_id = new_request(case)
    work(case)
    with case.desk.session(SYSTEM) as s:
        s.conn.execute(t.request.update().values(acknowledged_at=s.at))
        s.conn.execute(t.outbox.update().values(withdrawn_at=s.at))
        lines = replay_problems(s.conn)
    assert len(lines) == 4
    assert "confirmation of receipt" in lines[0]
    assert "whether a letter is withdrawn" in lines[1]
    assert row(case, request_id)["id"] == request_id


def test_a_second_submission_writes_no_second_receipt(case: DeskCase) -> None:
    for _ in range(2):
        with case.desk.session(CLERK) as s:
            request_id = submit(s, ANNA, outside_id="A-1")
        work(case)
    assert kinds(case, request_id) == [("acknowledgement", 1, None)]


def test_a_crash_between_file_and_row_leaves_one_letter(case: DeskCase) -> None:
    request_id = new_request(case)
    with suppress(KeyboardInterrupt), case.desk.session(SYSTEM) as s:
        round_of(s)
        raise KeyboardInterrupt
    assert letter_file(case.desk, request_id, "acknowledgement").is_file()
    assert letters(case, request_id) == []
    work(case)
    assert kinds(case, request_id) == [("acknowledgement", 1, None)]
    assert text_of(case, letters(case, request_id)[0])
