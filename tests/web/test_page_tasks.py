"""Recipients of copies on the pages: who must be told, the form that notes it, and what stands there afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("argon2")
pytest.importorskip("pyotp")
pytest.importorskip("sqlalchemy")
pytest.importorskip("cryptography")
pytest.importorskip("securesystemslib")

from expunge.desk import tables as t
from expunge.desk.assets import add_asset
from expunge.desk.names import new_id
from expunge.desk.purging import NO_NOTICE
from expunge.desk.roles import SYSTEM
from expunge.web.app import make_app
from helpers.desk import OPERATOR
from helpers.web import WebVisit
from helpers.web_pages import FAST, pages_case

WAITS = "Purge tasks that wait for somebody"


def test_a_clerk_notes_that_a_recipient_was_told(tmp_path: Path) -> None:
    made = pages_case(tmp_path / "desk", with_release=False)
    case, stage = made.case, next(iter(made.ids))
    with case.desk.session(OPERATOR) as s:
        asset = add_asset(s, "study partner", "downstream", "recipient", {"recipient": "University"})
    with case.desk.session(SYSTEM) as s:
        task, today = new_id(), s.today
        row = {"id": task, "request_id": made.ids[stage], "asset_id": asset, "attempts": 1, "at": s.at}
        s.conn.execute(t.task.insert().values(**row, state="open", problem=NO_NOTICE))
    app, page = make_app(case.desk, FAST), f"/requests/{made.reference(stage)}"
    carla, vera = (WebVisit(case, app).sign_in(person) for person in ("carla", "vera"))
    assert WAITS in carla.get("/").text
    assert f"study partner: {NO_NOTICE}" in carla.get("/").text
    assert f"/tasks/{task}/notice" in carla.get(page).text
    assert f"/tasks/{task}/notice" not in vera.get(page).text
    answer = carla.fill(f"{page}/tasks/{task}/notice", page, notice_on=today, note="by a letter")
    assert answer.status_code == 303
    assert "Told, not confirmed" in carla.get(page).text
    assert f"told on {today}; confirmation is awaited" in carla.get(page).text
    assert f"/tasks/{task}/notice" not in carla.get(page).text
    assert WAITS not in carla.get("/").text
    case.clock.move(days=31)
    olga = WebVisit(case, app).sign_in("olga")
    assert WAITS in olga.get("/").text
