"""Two workers at one corpus: none brings back what the other has removed, and a plan waits for the purge before it."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")

from sqlalchemy import select

from expunge.desk import place_lock
from expunge.desk import tables as t
from expunge.desk.assets import asset_row, connector_of
from expunge.desk.batches import busy, plannable
from expunge.desk.connectors import corpus_file
from expunge.desk.place_lock import alone_at, lock_file
from expunge.desk.purging import run_tasks, tasks
from expunge.desk.roles import SYSTEM
from expunge.desk.runs import begin_purge, promote
from expunge.errors import InputError
from helpers.desk import DeskCase, make_desk, result_digest, to_planned, to_promotion, to_waiting

BJORN = {"name": "Björn Schäfer", "record_number": "PAT-101"}


def two_in_purge(tmp_path: Path) -> tuple[DeskCase, str, str]:
    """Two requests of one batch whose model is in use."""
    case = make_desk(tmp_path / "desk", batch_size=2, batch_hours=720)
    first, second = to_waiting(case), to_waiting(case, BJORN)
    digest = to_planned(case, first)
    to_promotion(case, first)
    with case.desk.session(SYSTEM) as s:
        promote(s, digest, f"runs/{digest[:16]}", result_digest(case, digest))
        assert busy(s, "ward")
        begin_purge(s, digest)
        assert busy(s, "ward")
    return case, first, second


def subjects(case: DeskCase) -> list[str]:
    rows = (case.folder / "ward.jsonl").read_text("utf-8").splitlines()
    return sorted({json.loads(row)["subject"] for row in rows})


def test_a_worker_frozen_in_a_purge_brings_nobody_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case, first, second = two_in_purge(tmp_path)
    monkeypatch.setattr(place_lock, "PATIENCE", 0.2)
    write, stopped, go = corpus_file.write_atomic, threading.Event(), threading.Event()

    def freeze(*words: object, **options: object) -> Path:
        stopped.set()
        assert go.wait(60)
        return write(*words, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(corpus_file, "write_atomic", freeze)
    with ThreadPoolExecutor(1) as pool:
        frozen = pool.submit(run_tasks, case.desk, first)
        assert stopped.wait(60)
        assert run_tasks(case.desk, second) == ["notes"]
        go.set()
        assert frozen.result(60) == []
    assert run_tasks(case.desk, second) == []
    assert subjects(case) == ["PAT-100"]


def test_a_task_that_another_worker_did_is_done_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case, first, _ = two_in_purge(tmp_path)
    with case.desk.reading(SYSTEM) as s:
        asset = next(row["asset_id"] for row in tasks(s, first) if row["asset"] == "notes")
        file = lock_file(case.folder, connector_of(asset_row(s, asset)), asset)
    with ThreadPoolExecutor(2) as pool:
        with alone_at(file):
            both = [pool.submit(run_tasks, case.desk, first) for _ in range(2)]
        assert [each.result(60) for each in both] == [[], []]
    with case.desk.reading(SYSTEM) as s:
        done = s.conn.execute(select(t.task.c.attempts).where(t.task.c.request_id == first)).scalars().all()
        assert max(done) == 1
        ends = s.conn.execute(select(t.event_log).where(t.event_log.c.type == "task.end")).all()
        assert len(ends) == sum(done)


def test_assets_that_name_one_file_share_a_lock(tmp_path: Path) -> None:
    one, other = (corpus_file.CorpusFile(path=path) for path in ("a.jsonl", "./x/../a.jsonl"))
    (tmp_path / "x").mkdir()
    assert lock_file(tmp_path, one, "1") == lock_file(tmp_path, other, "2")
    assert lock_file(tmp_path, one, "1") != lock_file(tmp_path, corpus_file.CorpusFile(path="b.jsonl"), "1")


def test_a_lock_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "locks").write_text("")
    with pytest.raises(InputError, match="could not be opened"), alone_at(tmp_path / "locks" / "x"):
        raise AssertionError


def test_the_next_plan_waits_for_the_purge_before_it(tmp_path: Path) -> None:
    case, first, second = two_in_purge(tmp_path)
    run_tasks(case.desk, first)
    with case.desk.reading(SYSTEM) as s:
        assert busy(s, "ward")
    (case.folder / "ward.jsonl").write_text("{broken\n", "utf-8")
    assert run_tasks(case.desk, second) == ["notes"]
    with case.desk.reading(SYSTEM) as s:
        assert not busy(s, "ward"), "a task that failed holds up nobody"
        assert plannable(s) == []
