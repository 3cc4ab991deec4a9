"""Whoever changes a value of the database by SQL is found out: every column of every table, and random bits."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

pytest.importorskip("dbos")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")
pytest.importorskip("securesystemslib")
pytest.importorskip("fastapi")
pytest.importorskip("argon2")
pytest.importorskip("pyotp")

from sqlalchemy import text

from expunge.cli import main
from expunge.desk.log_tables import META
from expunge.desk.row_seals import UNSEALED_COLUMNS, UNSEALED_TABLES
from helpers.desk import DeskCase
from helpers.desk_journey import busy_desk
from helpers.desk_tamper import (
    HARMLESS,
    TABLES,
    another_value,
    change,
    flipped_bit,
    is_harmless,
    owner,
    problems_of,
    rows_of,
)

ROWS, FLIPS = 4, 400  # rows of each column that are changed; bits
EMPTY = {"worker", "idempotency", "webhook_in"}  # tables without a row on this desk: all of them are in the list


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> DeskCase:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAKE_SECONDS", "0")
        case = busy_desk(tmp_path_factory.mktemp("columns") / "desk")
    if case.desk.engine.dialect.name != "sqlite":
        pytest.skip("the statements of the owner are those of SQLite")
    return case


def test_the_desk_is_whole(case: DeskCase) -> None:
    with owner(case) as conn:
        assert problems_of(case, conn) == []
        assert {table.name for table in TABLES if not rows_of(conn, table)} == EMPTY
    assert all((name, "*") in HARMLESS for name in EMPTY)


@pytest.mark.parametrize("name", [table.name for table in TABLES if table.name not in EMPTY])
def test_every_column(case: DeskCase, name: str) -> None:
    table, draw = META.tables[name], random.Random(name)
    missed = []
    for column in table.c:
        with owner(case) as conn:
            rows = rows_of(conn, table)
        for rowid in draw.sample(rows, min(ROWS, len(rows))):
            with owner(case) as conn:
                if is_harmless(conn, table, column, rowid):
                    continue
                assert change(conn, table, column, rowid, another_value(draw))
                if not problems_of(case, conn):
                    missed.append((name, column.name, rowid))
    assert missed == []


def test_random_bits(case: DeskCase) -> None:
    draw, missed, done = random.Random(7), [], 0
    while done < FLIPS:
        table = META.tables[draw.choice([table.name for table in TABLES if table.name not in EMPTY])]
        column = draw.choice(list(table.c))
        with owner(case) as conn:
            rowid = draw.choice(rows_of(conn, table))
            if is_harmless(conn, table, column, rowid) or not change(conn, table, column, rowid, flipped_bit(draw)):
                continue
            done += 1
            if not problems_of(case, conn):
                missed.append((table.name, column.name, rowid))
    assert missed == []


def test_the_lists_name_columns_that_exist() -> None:
    assert set(UNSEALED_TABLES) <= set(META.tables)
    assert all(column in META.tables[table].c for table, column in UNSEALED_COLUMNS)
    assert all(column == "*" or column in META.tables[table].c for table, column in HARMLESS)


def test_a_row_from_nowhere_is_found(case: DeskCase) -> None:
    with owner(case) as conn:
        conn.execute(text("INSERT INTO reason (id, at, event, keyed_digest) VALUES ('x', 'y', 'z', 'd')"))
        assert problems_of(case, conn) == ["reason x is in no row of the log"]


def test_the_command_tries_encrypted_values(case: DeskCase, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["desk", "verify-log", "--desk", str(case.folder), "--as", "adam"]
    assert main(words) == 0
    with case.desk.engine.begin() as conn:
        before = conn.execute(text("SELECT rowid, ciphertext FROM identifier WHERE ciphertext NOT NULL")).first()
        assert before is not None
        put = text("UPDATE identifier SET ciphertext = :value WHERE rowid = :id")
        conn.execute(put, {"id": before[0], "value": before[1][:-1] + bytes([before[1][-1] ^ 1])})
    assert main(words) == 3
    assert "its value was changed or moved" in capsys.readouterr().out
    with case.desk.engine.begin() as conn:
        conn.execute(put, {"id": before[0], "value": before[1]})
    assert main(words) == 0
