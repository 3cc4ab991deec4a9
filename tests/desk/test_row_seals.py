"""What was changed by SQL stays found after the desk has written the same row, and in desks of earlier versions."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("dbos")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")
pytest.importorskip("argon2")
pytest.importorskip("pyotp")

from sqlalchemy import select, update

from expunge.desk import tables as t
from expunge.desk.desk import Desk
from expunge.desk.event_log import log_problems, read_head
from expunge.desk.leases import register_worker
from expunge.desk.migrations import STEPS, migrate
from expunge.desk.people import set_person
from expunge.desk.probes import request_key, shred_probes
from expunge.desk.replay_check import replay_problems
from expunge.desk.roles import SYSTEM
from expunge.desk.row_seals import FIRST_TYPE
from expunge.desk.seal_check import LogSeals
from expunge.desk.settings import DeskSettings
from expunge.desk.web_tables import account
from expunge.web.accounts import set_account
from helpers.desk import ADMIN, CLERK, Clock, DeskCase, make_desk, new_request, verify

LATER = "UPDATE request SET due_on = '2031-01-01'"


@pytest.fixture
def case(tmp_path: Path) -> DeskCase:
    return make_desk(tmp_path / "desk")


def change(case: DeskCase, *statements: str) -> None:
    with case.desk.engine.begin() as conn:
        for statement in statements:
            conn.exec_driver_sql(statement)


def problems(case: DeskCase) -> list[str]:
    with case.desk.reading(SYSTEM) as s:
        return [*log_problems(s.conn), *replay_problems(s.conn)]


def test_a_change_is_found_after_the_next_event_of_its_row(case: DeskCase) -> None:
    request_id = new_request(case)
    verify(case, request_id)
    change(case, LATER)
    case.event(CLERK, request_id, "begin_scoping")
    assert any("was not as the log has it when row" in line for line in problems(case))


def test_a_row_from_nowhere_is_found_after_the_desk_wrote_it(case: DeskCase) -> None:
    change(case, "INSERT INTO person (name, roles, at) VALUES ('eve', '[\"admin\"]', '2026-03-02T09:00:00.000000Z')")
    with case.desk.session(ADMIN) as s:
        set_person(s, "eve", ["viewer"])
    assert any(line.startswith("person eve: a column of its row was not as the log has it") for line in problems(case))


def test_a_row_that_comes_back_is_found(case: DeskCase) -> None:
    change(case, "DELETE FROM person WHERE name = 'adam'")
    with case.desk.session(ADMIN) as s:
        set_person(s, "adam", ["admin"])
    assert any(line.startswith("person adam: a column of its row was not") for line in problems(case))


def test_a_value_that_the_database_computes_is_sealed(case: DeskCase) -> None:
    with case.desk.session(ADMIN) as s:
        set_account(s, "adam", "a long password of a test", "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
    with case.desk.session(SYSTEM) as s:
        s.conn.execute(update(account).values(failures=account.c.failures + 1))
    assert problems(case) == []


def test_what_did_not_change_is_not_in_the_log(case: DeskCase) -> None:
    with case.desk.session(SYSTEM) as s:
        before = read_head(s.conn)
        s.conn.execute(update(t.person).values(left_at=None))
    with case.desk.reading(SYSTEM) as s:
        assert read_head(s.conn) == before


def test_a_trigger_of_somebody_else_is_found(case: DeskCase) -> None:
    if case.desk.engine.dialect.name == "sqlite":
        change(case, f"CREATE TRIGGER nice AFTER UPDATE OF state ON request BEGIN {LATER} WHERE id = NEW.id; END")
    else:
        change(
            case,
            f"CREATE FUNCTION nice() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {LATER}; RETURN NEW; END $$",
            "CREATE TRIGGER nice AFTER UPDATE OF state ON request FOR EACH ROW EXECUTE FUNCTION nice()",
        )
    assert problems(case) == ["the trigger nice is none of the desk"]


def test_a_log_that_begins_without_a_row_is_complete(tmp_path: Path) -> None:
    desk = Desk.create(tmp_path / "desk", DeskSettings(), Clock())
    with desk.session(SYSTEM) as s:
        register_worker(s, "w1", "v")
    case = DeskCase(desk)
    change(case, "INSERT INTO reason (id, at, event, keyed_digest) VALUES ('x', 'y', 'z', 'd')")
    assert problems(case) == ["reason x is in no row of the log"]


def test_a_key_that_was_shredded_does_not_come_back(case: DeskCase) -> None:
    request_id = new_request(case)
    with case.desk.session(SYSTEM) as s:
        request_key(s, request_id)
        kept = dict(s.conn.execute(select(t.request_key)).mappings().one())
    with case.desk.session(SYSTEM) as s:
        shred_probes(s, request_id)
    assert problems(case) == []
    with case.desk.engine.begin() as conn:
        conn.execute(t.request_key.insert().values(**kept))
    assert problems(case) == [f"request_key {request_id}/probes is in no row of the log"]


def test_a_key_that_is_deleted_is_found(case: DeskCase) -> None:
    request_id = new_request(case)
    with case.desk.session(SYSTEM) as s:
        request_key(s, request_id)
    change(case, "DELETE FROM request_key")
    assert problems(case) == [f"request_key {request_id}/probes of the log is gone"]


def older(case: DeskCase, number: int = 10) -> None:
    """The desk as a version left it that sealed no rows."""
    triggers = ("event_log_no_update", "event_log_no_delete", "applied_no_update", "applied_no_delete")
    with case.desk.engine.begin() as conn:
        texts = [
            conn.exec_driver_sql(f"SELECT sql FROM sqlite_master WHERE name = '{n}'").scalar_one() for n in triggers
        ]
        for name in triggers:
            conn.exec_driver_sql(f"DROP TRIGGER {name}")
        conn.exec_driver_sql("DELETE FROM event_log")
        conn.exec_driver_sql("DELETE FROM applied")
        conn.exec_driver_sql("DELETE FROM log_head")
        for sql in texts:
            conn.exec_driver_sql(sql)
        conn.exec_driver_sql(f"UPDATE schema_version SET number = {number}")


def test_an_upgrade_seals_the_rows_of_before(case: DeskCase) -> None:
    if case.desk.engine.dialect.name != "sqlite":
        pytest.skip("the statements are those of SQLite")
    older(case)
    with case.desk.engine.begin() as conn:  # a log without a digest
        from expunge.desk.event_log import append

        append(conn, case.clock.now, SYSTEM, "test.row", {}, event_id="w/1")
    with case.desk.engine.begin() as conn:
        assert migrate(conn, case.desk.keys) == len(STEPS)
        types = set(conn.execute(select(t.event_log.c.type)).scalars())
    assert types == {"test.row", FIRST_TYPE}
    before = problems(case)
    assert not [line for line in before if "a column of its row" in line or "event id" in line]
    change(case, "UPDATE asset SET owner = 'olaf'")
    assert len([line for line in problems(case) if line.startswith("asset ") and "a column" in line]) == 4


def test_the_number_of_the_schema_launders_nothing(case: DeskCase) -> None:
    change(
        case,
        "INSERT INTO reason (id, at, event, keyed_digest) VALUES ('x', 'y', 'z', 'd')",
        "UPDATE schema_version SET number = 10",
    )
    with case.desk.engine.begin() as conn:
        migrate(conn, case.desk.keys)
    assert problems(case) == ["reason x is in no row of the log"]


def test_a_log_with_one_digest_of_each_row_is_read_on() -> None:
    seals = LogSeals()
    for seq, text in enumerate(("aa", "bb", "bb>cc", "xx>dd"), 1):
        seals.note({"seq": seq, "type": "request.step"}, {"rows": {"request": {"r1": text}}})
    assert seals.digests == {"request": {"r1": "dd"}}
    (problem,) = seals.problems
    assert problem.endswith("when row 4 of the log was written")
