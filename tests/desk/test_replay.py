"""State that was changed by SQL behind the log is found, whatever row it is in."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("dbos")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")

from sqlalchemy import text

from expunge.cli import main
from expunge.desk import tables as t
from expunge.desk.condition import desk_condition
from expunge.desk.replay import replay
from expunge.desk.replay_check import replay_problems
from expunge.desk.roles import SYSTEM
from expunge.desk.workflows import VERSION
from helpers.desk import DeskCase, make_desk, to_audit_passed, to_planned, to_waiting


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> DeskCase:
    """A request whose audit passed; each test undoes what it changes."""
    case = make_desk(tmp_path_factory.mktemp("replay") / "desk")
    request_id = to_waiting(case)
    to_planned(case, request_id)
    to_audit_passed(case, request_id)
    return case


class _Undone(Exception):
    pass


def problems_after(case: DeskCase, statement: str) -> list[str]:
    """The problems after a statement, which is rolled back."""
    problems: list[str] = []
    try:
        with case.desk.engine.begin() as conn:
            conn.execute(text(statement))
            problems = replay_problems(conn)
            raise _Undone
    except _Undone:
        return problems


def test_rows_that_follow_the_log_have_no_problem(case: DeskCase) -> None:
    with case.desk.reading(SYSTEM) as s:
        assert replay_problems(s.conn) == []


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        (
            "UPDATE request SET state = 'promotion_approved'",
            "its state is promotion_approved, and the log has audit_passed",
        ),
        ("UPDATE request SET previous = 'scoping'", "its state before is scoping"),
        ("UPDATE request SET ended_as = 'denied'", "its early end is denied"),
        ("UPDATE request SET identity_verified_at = NULL", "its identity is False"),
        ("UPDATE request SET promoted_at = received_at", "its promotion is True"),
        ("UPDATE request SET extended_until = '2030-01-01'", "its extension is 2030-01-01"),
        ("UPDATE request SET purged_at = received_at", "its purge is True"),
        ("UPDATE request SET records_ended_at = received_at", "its end of the record period is True"),
        ("UPDATE request SET regime = 'ccpa@1'", "its policy is ccpa@1, and the log has gdpr@1"),
        ("UPDATE request SET regime_digest = 'ab'", "its digest of the policy is ab"),
        ("UPDATE request SET identity_level = 'low'", "its way of identification is ("),
        ("UPDATE identifier SET verified_at = NULL", "whether an identifier was shown is not in the log"),
        ("UPDATE plan SET author = 'mallory'", "its author is mallory, and the log has olga"),
        ("UPDATE plan SET kind = 'none'", "its kind is none, and the log has unlearn"),
        ("UPDATE plan SET content = content || ' '", "its content is another one"),
        ("UPDATE run SET single_person = 1", "its single_person is 1, and the log has 0"),
        ("UPDATE certificate SET auditor = 'mallory'", "its auditor is not the one of the log"),
        ("UPDATE decision SET ground = 'a law'", "a decision is not the one that the log has"),
        ("UPDATE decision SET person = 'mallory'", "a decision is not the one that the log has"),
        ("UPDATE plan SET approver = 'mallory'", "its approver is mallory, and the log has anna"),
        ("UPDATE plan SET promotion_approver = 'mallory'", "its promotion_approver is mallory, and the log has None"),
        ("UPDATE run SET audit_status = 'failed'", "its audit_status is failed, and the log has passed"),
        ("UPDATE run SET guard_status = 'passed'", "its guard_status is passed, and the log has none"),
        ("UPDATE run SET certificate_digest = 'ab'", "its certificate_digest is ab"),
        ("UPDATE run SET certificate_verified_at = NULL", "whether its certificate verified"),
        ("UPDATE certificate SET verified_at = NULL", "whether it verified is not what the log has"),
        ("UPDATE certificate SET digest = 'ab'", "certificate ab is in no row of the log"),
        ("UPDATE model_alias SET digest = 'ab'", "the one in use is not the one that the log has"),
        ("UPDATE person SET roles = '[\"admin\", \"approver\"]' WHERE name = 'anna'", "person anna: the roles are not"),
        ("UPDATE person SET left_at = at WHERE name = 'rita'", "person rita: the roles are not"),
        ("UPDATE decision SET value = 'retain'", "a decision is not the one that the log has"),
        ("DELETE FROM match", " of the log is gone"),
        ("UPDATE match SET state = 'rejected'", "a match is rejected, and the log has confirmed"),
    ],
)
def test_a_change_behind_the_log_is_found(case: DeskCase, statement: str, what: str) -> None:
    problems = problems_after(case, statement)
    assert any(what in problem for problem in problems)


def test_a_request_without_a_log_and_one_without_a_row(case: DeskCase) -> None:
    given = {"id": "'x'", "reference": "'E-X'", "batch_id": "NULL"}
    values = [given.get(column.name, column.name) for column in t.request.c]
    copy = f"INSERT INTO request ({', '.join(t.request.c.keys())}) SELECT {', '.join(values)} FROM request"
    assert problems_after(case, copy) == ["request E-X is in no row of the log"]


def row(seq: int, type_: str, body: str, role: str = "clerk") -> dict[str, object]:
    return {"seq": seq, "at": "t", "type": type_, "body": body, "role": role, "actor": "a", "request_id": "r"}


def test_what_the_lifecycle_does_not_allow() -> None:
    begun = row(1, "request.submit", '{"from":"start","to":"received","regime":"gdpr@1","digest":"d"}')
    assert replay([begun]).problems == []
    assert replay([begun]).requests["r"]["state"] == "received"
    jump = row(2, "request.promote", '{"from":"promotion_approved","to":"promoted"}', "system")
    assert replay([begun, jump]).problems == ["row 2: promote from promotion_approved, and the log had led to received"]
    wrong = row(2, "request.begin_scoping", '{"from":"received","to":"promoted"}')
    assert "no begin_scoping from received to promoted" in replay([begun, wrong]).problems[0]
    role = row(2, "request.begin_scoping", '{"from":"received","to":"scoping"}', "viewer")
    assert "for this role" in replay([begun, role]).problems[0]
    assert replay([begun, row(2, "request.hold", "{}")]).problems == ["row 2 cannot be read"]
    assert replay([row(1, "run.verdict", '{"run":"a","run":"b"}')]).problems == ["row 1 cannot be read"]


def test_doctor_and_verify_log_tell_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = make_desk(tmp_path / "desk")
    to_waiting(case)
    words = ["desk", "verify-log", "--desk", str(case.folder), "--as", "adam"]
    assert main(words) == 0
    with case.desk.engine.begin() as conn:
        conn.execute(text("UPDATE request SET state = 'approved'"))
    assert main(words) == 3
    assert "its state is approved, and the log has waiting" in capsys.readouterr().out
    assert any("its state is approved" in problem for problem in desk_condition(case.desk, VERSION)["problems"])
