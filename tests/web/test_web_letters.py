"""Who may read the text of a letter, in which a reviewer's reason can stand: at the desk, on a page, by a command."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("argon2")
pytest.importorskip("securesystemslib")

from sqlalchemy import select

from expunge.desk import tables as t
from expunge.desk.facts import request_row
from expunge.desk.interim import withdraw_late_extensions
from expunge.desk.letter_text import read_letter
from expunge.desk.letters import accept_letter, queue_letter
from expunge.desk.people import set_person
from expunge.desk.requests import extend
from expunge.desk.roles import MAY, PEOPLE, SYSTEM, Actor, Refusal
from expunge.web.accounts import set_account
from helpers.cli import Cli
from helpers.desk import ADMIN, REVIEWER, DeskCase, to_review
from helpers.web import PASSWORD, ROLES, SECRETS, WebVisit, web_desk

WHY = "She told us of a treatment, and asks another hospital."
READERS = ("clerk", "reviewer", "auditor")


@pytest.fixture
def case(tmp_path: Path) -> DeskCase:
    case = web_desk(tmp_path / "desk", controller="St. Mary", letters={"contact": "a@b", "authority": "DPC"})
    with case.desk.session(ADMIN) as s:
        set_person(s, "viktor", ["viewer"])
        SECRETS.setdefault("viktor", SECRETS["adam"])
        set_account(s, "viktor", PASSWORD, SECRETS["viktor"])
    return case


def cancelled(case: DeskCase) -> str:
    """The letter of a request that a reviewer cancelled."""
    request_id = to_review(case)
    case.event(REVIEWER, request_id, "cancel", reason=WHY)
    with case.desk.session(SYSTEM) as s:
        return queue_letter(s, request_id)


@pytest.mark.parametrize("role", PEOPLE)
def test_a_letter_is_read_by_those_who_may(case: DeskCase, role: str) -> None:
    letter = cancelled(case)
    if role in READERS:
        assert WHY in read_letter(case.desk, Actor("x", role), letter)
        return
    with pytest.raises(Refusal, match=f'the role "{role}" may not') as caught:
        read_letter(case.desk, Actor("x", role), letter)
    assert caught.value.kind == "role"


def test_who_reads_a_letter_may_read_its_reason() -> None:
    assert set(MAY["read letter"]) <= set(MAY["read reasons"])


def test_pages_offer_a_letter_to_those_who_may(case: DeskCase) -> None:
    letter = cancelled(case)
    for person, role in ROLES.items():
        visit = WebVisit(case).sign_in(person)
        page = visit.get("/letters").text
        at = next(line for line in page.split('"') if line.startswith("/requests/") and "#" in line)
        answer = visit.get(f"/letters/{letter}")
        shown = [f'href="/letters/{letter}"' in text for text in (page, visit.get(at.partition("#")[0]).text)]
        assert (answer.status_code, WHY in answer.text, shown) == (
            (200, True, [True, True]) if role in READERS else (403, False, [False, False])
        )


def test_the_command_refuses_others(case: DeskCase, cli: Cli, tmp_path: Path) -> None:
    letter, out = cancelled(case), tmp_path / "letter.html"
    words = ["request", "letters", "--desk", str(case.folder), "--read", letter, "--out", str(out)]
    assert cli(*words, "--as", "viktor").code == 2
    assert not out.exists()
    assert cli(*words, "--as", "carla").code == 0
    assert WHY in out.read_text("utf-8")


def test_a_form_whose_reason_the_person_reads_says_so(case: DeskCase) -> None:
    request_id = to_review(case)
    visit = WebVisit(case).sign_in("rita")
    with case.desk.reading(SYSTEM) as s:
        url = f"/requests/{request_row(s, request_id)['reference']}"
    assert visit.get(url).text.count("The person reads it in the letter, in your words") == 2  # cancel, put off


def test_an_extension_that_nobody_posted_stands_on_the_page(case: DeskCase) -> None:
    request_id = to_review(case)
    with case.desk.session(REVIEWER) as s:
        extend(s, request_id, WHY)
        url = f"/requests/{request_row(s, request_id)['reference']}"
    for person, role in ROLES.items():
        page = WebVisit(case).sign_in(person).get(url).text
        assert "The person is not told yet that the answer is put off" in page
        assert (WHY in page, "The answer is put off" in page) == (False, True), role
    with case.desk.session(SYSTEM) as s:
        letter = s.conn.execute(select(t.outbox.c.id).where(t.outbox.c.template == "extension")).scalar_one()
        accept_letter(s, letter)
    assert "not told yet" not in WebVisit(case).sign_in("rita").get(url).text


def test_a_withdrawn_letter_and_a_failed_one_say_why(case: DeskCase) -> None:
    request_id = to_review(case)
    with case.desk.session(REVIEWER) as s:
        extend(s, request_id, WHY)
        url = f"/requests/{request_row(s, request_id)['reference']}"
        values = {"tries": 1, "problem": "the server refuses the recipient (550)"}
        s.conn.execute(t.outbox.update().values(**values, next_try_at=s.at))
    visit = WebVisit(case).sign_in("carla")
    for page in ("/letters", url):
        assert "Not sent: the server refuses the recipient (550); next try" in visit.get(page).text
    case.event(REVIEWER, request_id, "cancel", reason=WHY)
    page = visit.get(url).text
    assert "the request is over before it went out" in page
    assert "Not sent:" not in page
    assert "It was posted" not in page


def test_a_letter_that_was_posted_in_time_may_be_noted_later(case: DeskCase) -> None:
    request_id = to_review(case)
    with case.desk.session(REVIEWER) as s:
        extend(s, request_id, WHY)
        row = request_row(s, request_id)
    url, due = f"/requests/{row['reference']}", row["due_on"]
    case.clock.move(days=40)
    with case.desk.session(SYSTEM) as s:
        (letter,) = withdraw_late_extensions(s)
    visit = WebVisit(case).sign_in("carla")
    page = visit.get(url).text
    assert "the day by which the person had to be told was over" in page
    assert f'id="posted-{letter}"' in page
    assert visit.fill(f"{url}/letters/{letter}", url, posted_on="soon").status_code == 400
    assert visit.fill(f"{url}/letters/{letter}", url, posted_on=due).status_code == 303
    page = visit.get(url).text
    assert ", in time" in page
    assert "not told yet" not in page
