"""A request from the letter to the end, through the service functions."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("cryptography")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")

from expunge.desk.event_log import log_problems
from expunge.desk.facts import request_row
from expunge.desk.letters import queue_letter, send_letter
from expunge.desk.models import alias_row
from expunge.desk.purging import purge_request, run_tasks, tasks
from expunge.desk.roles import SYSTEM, Refusal
from expunge.desk.runs import begin_purge, promote
from helpers.desk import APPROVER, CLERK, OPERATOR, make_desk, result_digest, to_planned, to_promotion, to_waiting


def test_from_letter_to_closed(tmp_path: Path) -> None:
    case = make_desk(tmp_path / "desk")
    request_id = to_waiting(case)
    assert case.state(request_id) == "waiting"
    digest = to_planned(case, request_id)
    assert case.state(request_id) == "planned"
    to_promotion(case, request_id)
    assert case.state(request_id) == "promotion_approved"
    after = result_digest(case, digest)
    with case.desk.session(SYSTEM) as s:
        assert promote(s, digest, f"runs/{digest[:16]}", after)
        assert not promote(s, digest, f"runs/{digest[:16]}", after)  # a repeat after a crash
        assert alias_row(s, "ward")["digest"] == after
        begin_purge(s, digest)
    assert run_tasks(case.desk, request_id) == []
    with case.desk.reading(SYSTEM) as s:
        states = {row["asset"]: (row["state"], row["due_on"]) for row in tasks(s, request_id)}
    assert states == {
        "notes": ("done", None),
        "ward model": ("done", None),
        "ward model (old versions)": ("done", None),
        "nightly backup": ("dated", (case.clock.now.date() + timedelta(days=90)).isoformat()),
    }
    assert "Anna" not in (case.folder / "ward.jsonl").read_text("utf-8")
    assert not (case.folder / "model").exists()
    sent = []
    with case.desk.session(SYSTEM) as s:
        letter = queue_letter(s, request_id)
    for _ in range(2):  # a repeat sends nothing
        assert send_letter(case.desk, request_id, letter, lambda key, request: sent.append(key) or "posted")
    assert sent == [letter]
    with pytest.raises(Refusal, match="objection window"):
        case.event(CLERK, request_id, "close")
    case.clock.move(days=31)
    assert case.event(CLERK, request_id, "close") == "closed"
    with case.desk.session(OPERATOR) as s:
        purge_request(s, request_id)
        purge_request(s, request_id)
    with case.desk.reading(SYSTEM) as s:
        assert log_problems(s.conn) == []
        assert request_row(s, request_id)["purged_at"]
    raw = b"".join(f.read_bytes() for f in case.folder.glob("desk.db*"))
    assert b"Wei" not in raw


def test_only_retained_records_need_no_model_work(tmp_path: Path) -> None:
    case = make_desk(tmp_path / "desk")
    retain = ("retain", "legal obligation (Art. 17(3)(b))")
    request_id = to_waiting(case, None, **{"notes": retain, "ward model": retain, "ward model (old versions)": retain})
    digest = to_planned(case, request_id)
    from expunge.desk.plans import approve_plan

    with case.desk.session(APPROVER) as s:
        approve_plan(s, digest)
    with case.desk.session(SYSTEM) as s:
        begin_purge(s, digest)
    assert case.state(request_id) == "purging"
