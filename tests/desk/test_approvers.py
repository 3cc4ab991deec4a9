"""Where the word of an approver comes from, said where it is worth a question."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")
pytest.importorskip("argon2")

from expunge.desk.approvers import access_grants, approval_doubts
from expunge.desk.condition import desk_condition
from expunge.desk.people import remove_person, set_person
from expunge.desk.plans import approve_plan, plan_row
from expunge.desk.roles import SYSTEM, Actor
from expunge.desk.workflows import VERSION
from expunge.web.accounts import open_account
from helpers.desk import ADMIN, APPROVER, DeskCase, make_desk, to_planned, to_waiting

AFTER = "zoe got the role approver from adam after the plan was made"
OPENED = "anna had the account opened by adam after the plan was made"
WORKED = "zoe got the role approver from olga, who worked on a request of the plan"


@pytest.fixture
def case(tmp_path: Path) -> DeskCase:
    return make_desk(tmp_path / "desk")


def doubts(case: DeskCase, digest: str, also: str = "") -> list[str]:
    with case.desk.reading(SYSTEM) as s:
        return approval_doubts(s, plan_row(s, digest), also)


def told(case: DeskCase) -> list[str]:
    problems = desk_condition(case.desk, VERSION)["problems"]
    return [problem for problem in problems if "ask both whether these are two people" in problem]


def approve(case: DeskCase, digest: str, person: str) -> None:
    with case.desk.session(Actor(person, "approver")) as s:
        approve_plan(s, digest)


def test_an_approver_of_old_is_no_question(case: DeskCase) -> None:
    digest = to_planned(case, to_waiting(case))
    case.clock.move(hours=1)
    with case.desk.session(ADMIN) as s:
        set_person(s, "anna", ["approver", "viewer"])  # who had the role before
    approve(case, digest, "anna")
    assert doubts(case, digest) == []
    assert told(case) == []


def test_an_approver_who_was_made_meanwhile_is_one(case: DeskCase) -> None:
    digest = to_planned(case, to_waiting(case))
    case.clock.move(hours=1)
    with case.desk.session(ADMIN) as s:
        set_person(s, "zoe", ["approver"])
    assert doubts(case, digest) == []
    assert doubts(case, digest, "zoe") == [AFTER], "before the approval, on the page of the approver"
    approve(case, digest, "zoe")
    assert doubts(case, digest) == [AFTER]
    assert [line.split(": ")[0] for line in told(case)] == [f"plan {digest[:16]}"]


def test_an_account_that_was_opened_anew_is_one(case: DeskCase) -> None:
    digest = to_planned(case, to_waiting(case))
    case.clock.move(hours=1)
    with case.desk.session(ADMIN) as s:
        open_account(s, "anna")
    approve(case, digest, "anna")
    assert doubts(case, digest) == [OPENED]


def test_an_admin_who_worked_on_it_is_one_whenever_it_was(case: DeskCase) -> None:
    with case.desk.session(ADMIN) as s:
        set_person(s, "olga", ["admin", "operator"])
    with case.desk.session(Actor("olga", "admin")) as s:
        set_person(s, "zoe", ["approver"])
    case.clock.move(hours=1)
    digest = to_planned(case, to_waiting(case))
    approve(case, digest, "zoe")
    assert doubts(case, digest) == [WORKED]


def test_a_role_that_was_lost_counts_from_its_return(case: DeskCase) -> None:
    with case.desk.session(ADMIN) as s:
        remove_person(s, "anna")
    with case.desk.reading(SYSTEM) as s:
        assert "anna" not in access_grants(s)
    case.clock.move(hours=1)
    with case.desk.session(ADMIN) as s:
        set_person(s, APPROVER.person, ["approver"])
    with case.desk.reading(SYSTEM) as s:
        (grant,) = access_grants(s)["anna"]
        assert (grant.admin, grant.at) == ("adam", s.at)


def test_a_desk_of_one_person_says_so_elsewhere(tmp_path: Path) -> None:
    case = make_desk(tmp_path / "one", single_person=True)
    digest = to_planned(case, to_waiting(case))
    case.clock.move(hours=1)
    with case.desk.session(ADMIN) as s:
        set_person(s, "zoe", ["approver"])
    approve(case, digest, "zoe")
    assert doubts(case, digest) == []
