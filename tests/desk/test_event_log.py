"""The audit log: every way to change it behind the desk's back is found."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("rfc8785")
pytest.importorskip("cryptography")

from sqlalchemy import text

from expunge.desk.desk import Desk
from expunge.desk.event_log import EventHead, log_problems, read_head, row_hash
from expunge.desk.log_triggers import triggers
from expunge.desk.roles import SYSTEM, Refusal
from expunge.errors import InputError

DROP = ("DROP TRIGGER event_log_no_update", "DROP TRIGGER event_log_no_delete")
PUT_BACK = tuple(triggers("event_log", "sqlite").values())


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk.create(tmp_path / "desk")
    with desk.session(SYSTEM) as s:
        for k in range(6):
            s.log("test.row", {"k": k})
    return desk


def problems(desk: Desk, *heads: EventHead) -> list[str]:
    with desk.reading(SYSTEM) as s:
        return log_problems(s.conn, heads)


def tamper(desk: Desk, *statements: str) -> None:
    """Change the log past its triggers, and put these back."""
    with desk.engine.begin() as conn:
        for statement in (*DROP, *statements, *PUT_BACK):
            conn.execute(text(statement))


def test_a_whole_log_has_no_problem(desk: Desk) -> None:
    assert problems(desk) == []


def test_triggers_refuse_update_and_delete(desk: Desk) -> None:
    with desk.session(SYSTEM) as s:
        s.log("test.row", {}, event_id="w/1")
    for statement in ("UPDATE event_log SET actor = 'x'", "DELETE FROM event_log", "DELETE FROM applied"):
        with pytest.raises(Refusal, match="append-only"), desk.session(SYSTEM) as s:
            s.conn.execute(text(statement))
    assert problems(desk) == []


@pytest.mark.parametrize("column", ["at", "actor", "role", "type", "body", "body_digest", "prev_hash", "hash"])
def test_every_changed_column_is_found(desk: Desk, column: str) -> None:
    tamper(desk, f"UPDATE event_log SET {column} = {column} || 'x' WHERE seq = 3")
    assert any("3" in line for line in problems(desk))


def test_request_of_a_row_is_part_of_its_hash(desk: Desk) -> None:
    tamper(desk, "UPDATE event_log SET request_id = 'other' WHERE seq = 3")
    assert problems(desk) == ["row 3 was changed"]


def test_deleted_inserted_and_swapped_rows_are_found(desk: Desk) -> None:
    tamper(desk, "DELETE FROM event_log WHERE seq = 4")
    assert "row 4 is missing" in problems(desk)


def test_an_inserted_row_is_found(desk: Desk) -> None:
    columns = "at, actor, role, request_id, type, body, body_digest, prev_hash"
    tamper(desk, f"INSERT INTO event_log (seq, hash, {columns}) SELECT 7, 'h', {columns} FROM event_log WHERE seq = 6")
    assert any("row 7" in line for line in problems(desk))


def test_swapped_rows_are_found(desk: Desk) -> None:
    tamper(desk, *(f"UPDATE event_log SET seq = {new} WHERE seq = {old}" for old, new in ((2, 99), (3, 2), (99, 3))))
    assert any("does not follow" in line for line in problems(desk))


def test_a_cut_tail_is_found_by_the_head_and_by_a_kept_head(desk: Desk) -> None:
    with desk.reading(SYSTEM) as s:
        kept = read_head(s.conn)
    tamper(desk, "DELETE FROM event_log WHERE seq > 4")
    assert any("the head names row 6" in line for line in problems(desk))
    with desk.engine.begin() as conn:
        last = conn.execute(text("SELECT hash FROM event_log WHERE seq = 4")).scalar_one()
        conn.execute(text("UPDATE log_head SET seq = 4, hash = :hash"), {"hash": last})
    assert problems(desk) == []  # a chain alone cannot see it
    assert any("cut or written anew" in line for line in problems(desk, kept))


def test_a_log_that_was_written_anew_is_found_by_a_kept_head(desk: Desk) -> None:
    with desk.reading(SYSTEM) as s:
        kept = read_head(s.conn)
    tamper(desk, "UPDATE event_log SET actor = 'mallory' WHERE seq = 2")
    with desk.engine.begin() as conn:
        for statement in DROP:
            conn.execute(text(statement))
        before = None
        for row in conn.execute(text("SELECT * FROM event_log ORDER BY seq")).mappings().all():
            changed = dict(row) | ({"prev_hash": before} if before else {})
            before = row_hash(changed)
            values = {"p": changed["prev_hash"], "h": before, "s": row["seq"]}
            conn.execute(text("UPDATE event_log SET prev_hash = :p, hash = :h WHERE seq = :s"), values)
        conn.execute(text("UPDATE log_head SET hash = :h"), {"h": before})
        for statement in PUT_BACK:
            conn.execute(text(statement))
    assert problems(desk) == []
    assert any("written anew" in line for line in problems(desk, kept))


def test_a_dropped_trigger_is_found(desk: Desk) -> None:
    with desk.engine.begin() as conn:
        conn.execute(text(DROP[0]))
    assert problems(desk) == ["the trigger event_log_no_update is gone"]


def test_a_failed_transaction_leaves_no_row(desk: Desk) -> None:
    def fail() -> None:
        with desk.session(SYSTEM) as s:
            s.log("test.row", {"k": 7})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with desk.reading(SYSTEM) as s:
        assert read_head(s.conn).seq == 6


@pytest.mark.process
def test_two_writers_make_no_fork(desk: Desk) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def write(k: int) -> None:
        with desk.session(SYSTEM) as s:
            s.log("test.row", {"k": k})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(24)))
    assert problems(desk) == []
    with desk.reading(SYSTEM) as s:
        assert read_head(s.conn).seq == 30


@pytest.mark.matrix
def test_flipped_bytes_of_the_database_are_found_or_harmless(desk: Desk, tmp_path: Path) -> None:
    """A flipped byte anywhere in the file: the log reports it, the database refuses, or the log reads the same."""
    import random

    desk.engine.dispose()
    file = desk.folder / "desk.db"
    with desk.reading(SYSTEM) as s:
        whole = rows_of(s)
        s.conn.connection.cursor()
    with desk.engine.connect() as conn:
        conn.exec_driver_sql("ROLLBACK")
        conn.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        conn.exec_driver_sql("BEGIN")
    desk.engine.dispose()
    original = file.read_bytes()
    rng = random.Random(7)
    missed = 0
    for _ in range(300):
        data = bytearray(original)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        copy = tmp_path / "copy"
        copy.mkdir(exist_ok=True)
        for name in ("keys.json", "desk.yaml"):
            (copy / name).write_bytes((desk.folder / name).read_bytes())
            (copy / name).chmod(0o600)
        for stale in copy.glob("desk.db-*"):
            stale.unlink()
        (copy / "desk.db").write_bytes(data)
        missed += not found_or_same(copy, whole)
    assert missed == 0


def rows_of(s: object) -> list[tuple[object, ...]]:
    return [tuple(row) for row in s.conn.execute(text("SELECT * FROM event_log ORDER BY seq"))]  # type: ignore[attr-defined]


def found_or_same(folder: Path, whole: list[tuple[object, ...]]) -> bool:
    """A changed byte is a problem of the log, one line for a user, or changes nothing."""
    try:
        other = Desk.open(folder)
        with other.reading(SYSTEM) as s:
            return bool(log_problems(s.conn)) or rows_of(s) == whole
    except InputError:
        return True
