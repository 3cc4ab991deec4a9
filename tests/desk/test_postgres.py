"""The same desk on PostgreSQL. All tests of the desk run on it with EXPUNGE_DESK_POSTGRES=1."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")
pytest.importorskip("psycopg")

from sqlalchemy import text

from expunge.desk.database import read_url
from expunge.desk.desk import Desk
from expunge.desk.event_log import log_problems, read_head
from expunge.desk.roles import SYSTEM, Refusal
from expunge.desk.settings import DeskSettings
from expunge.errors import InputError, RunFailed
from helpers import postgres
from helpers.desk import DeskCase, make_desk, to_planned, to_promotion, to_waiting

pytestmark = [pytest.mark.process, pytest.mark.slow]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    if problem := postgres.problem():
        pytest.skip(problem)
    if url := os.environ.get("EXPUNGE_DESK_SERVER"):
        yield url
        return
    with postgres.server() as url:
        yield url


@pytest.fixture
def case(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DeskCase]:
    monkeypatch.setenv("EXPUNGE_DESK_SERVER", server)
    case = make_desk(tmp_path / "desk")
    yield case
    case.desk.close()


def test_a_request_goes_its_way_on_postgres(case: DeskCase) -> None:
    assert case.desk.engine.dialect.name == "postgresql"
    request_id = to_waiting(case)
    to_planned(case, request_id)
    to_promotion(case, request_id)
    assert case.state(request_id) == "promotion_approved"
    with case.desk.reading(SYSTEM) as s:
        assert log_problems(s.conn) == []


@pytest.mark.parametrize(
    "statement", ["UPDATE event_log SET actor = 'x'", "DELETE FROM event_log", "TRUNCATE event_log"]
)
def test_the_log_refuses_changes_on_postgres(case: DeskCase, statement: str) -> None:
    with pytest.raises(Refusal, match="append-only"), case.desk.session(SYSTEM) as s:
        s.conn.execute(text(statement))


def test_a_dropped_or_disabled_trigger_is_found_on_postgres(case: DeskCase) -> None:
    with case.desk.engine.begin() as conn:
        conn.execute(text("ALTER TABLE event_log DISABLE TRIGGER event_log_no_update"))
    with case.desk.reading(SYSTEM) as s:
        assert log_problems(s.conn) == ["the trigger event_log_no_update is gone"]


def test_writers_make_no_fork_on_postgres(case: DeskCase) -> None:
    def write(k: int) -> None:
        with case.desk.session(SYSTEM) as s:
            s.log("test.row", {"k": k})

    with case.desk.reading(SYSTEM) as s:
        before = read_head(s.conn).seq
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(40)))
    with case.desk.reading(SYSTEM) as s:
        assert read_head(s.conn).seq == before + 40
        assert log_problems(s.conn) == []


def test_a_database_that_is_gone_is_one_line_without_its_password(tmp_path: Path) -> None:
    settings = DeskSettings(database="postgresql://u:secret@127.0.0.1:1/none")
    with pytest.raises(RunFailed, match="did not answer") as error:
        Desk.create(tmp_path / "desk", settings)
    assert "secret" not in str(error.value)
    assert not list((tmp_path / "desk").iterdir())


def test_other_databases_are_refused() -> None:
    for url, what in (("mysql://x/y", "not supported"), ("nonsense", "no database URL")):
        with pytest.raises(InputError, match=what):
            read_url(url)
