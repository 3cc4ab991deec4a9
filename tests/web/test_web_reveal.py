"""Texts are hidden: they show with a role, a reason and for a minute, one at a time, and the log has it first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("argon2")
pytest.importorskip("pyotp")
pytest.importorskip("sqlalchemy")
pytest.importorskip("cryptography")

from sqlalchemy import select

from expunge.desk import tables as t
from expunge.desk.connectors.corpus_file import CorpusFile
from expunge.desk.matching import match_row, matches, object_of
from expunge.desk.people import set_person
from expunge.desk.roles import SYSTEM
from expunge.web.app import make_app
from helpers.desk import ADMIN, DeskCase, to_review
from helpers.web import WebVisit, web_desk

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def case(tmp_path: Path) -> DeskCase:
    """A desk with a record that holds a script, and a request whose matches are found."""
    case = web_desk(tmp_path / "desk")
    file = case.folder / "ward.jsonl"
    row = {"id": "PAT-102-x", "prompt": f"What of Anna Weiß {SCRIPT}?", "answer": SCRIPT, "subject": "PAT-102"}
    file.write_text(file.read_text("utf-8") + json.dumps(row) + "\n", "utf-8")
    with case.desk.session(ADMIN) as s:
        set_person(s, "olga", ["operator", "viewer"])
    to_review(case)
    return case


def match_ids(case: DeskCase) -> list[str]:
    with case.desk.reading(SYSTEM) as s:
        request_id = s.conn.execute(select(t.request.c.id)).scalar_one()
        rows = [match_row(s, row["id"]) for row in matches(s, request_id)]
        return [
            row["id"] for row in sorted(rows, key=lambda row: object_of(s, row))
        ]  # that with the script is the last


def reveals(case: DeskCase) -> int:
    with case.desk.reading(SYSTEM) as s:
        return len(s.conn.execute(select(t.event_log.c.seq).where(t.event_log.c.type == "match.reveal")).all())


def reveal(visit: WebVisit, match_id: str, **fields: Any) -> Any:
    return visit.fill(f"/matches/{match_id}/reveal", page="/set-up", **fields)


def test_a_text_shows_for_a_minute_and_escaped(case: DeskCase) -> None:
    visit = WebVisit(case).sign_in("aude")
    script = match_ids(case)[-1]
    assert visit.get(f"/matches/{script}/text").status_code == 409
    answer = reveal(visit, script, reason="the report of the hospital")
    assert answer.status_code == 303
    assert reveals(case) == 1
    page = visit.get(answer.headers["location"])
    assert page.status_code == 200
    assert SCRIPT not in page.text
    assert "&lt;script&gt;" in page.text
    assert page.headers["refresh"].startswith("60; url=/requests/E-")
    case.clock.move(seconds=59)
    assert visit.get(f"/matches/{script}/text").status_code == 200
    case.clock.move(seconds=1)
    hidden = visit.get(f"/matches/{script}/text")
    assert hidden.status_code == 409
    assert "alert" not in hidden.text
    assert reveals(case) == 1


@pytest.mark.parametrize("reason", ["", "   "])
def test_without_a_reason_nothing_shows(case: DeskCase, reason: str) -> None:
    visit = WebVisit(case).sign_in("aude")
    first = match_ids(case)[0]
    answer = reveal(visit, first, reason=reason)
    assert answer.status_code == 409
    assert "a reason is missing" in answer.text
    assert visit.get(f"/matches/{first}/text").status_code == 409
    assert reveals(case) == 0


@pytest.mark.parametrize(("person", "role"), [("olga", None), ("anna", None), ("adam", None), ("olga", "viewer")])
def test_other_roles_reveal_nothing(case: DeskCase, person: str, role: str | None) -> None:
    visit = WebVisit(case).sign_in(person)
    if role:
        visit.fill("/role", page="/set-up", role=role)
    answer = reveal(visit, match_ids(case)[0], reason="curious")
    assert answer.status_code == 403
    assert "Anna" not in answer.text
    assert reveals(case) == 0


def test_one_text_at_a_time_and_for_one_session(case: DeskCase) -> None:
    app = make_app(case.desk)
    visit, other = WebVisit(case, app).sign_in("aude"), WebVisit(case, app).sign_in("carla")
    first, second = match_ids(case)[:2]
    reveal(visit, first, reason="one")
    assert visit.get(f"/matches/{second}/text").status_code == 409
    assert other.get(f"/matches/{first}/text").status_code == 409
    reveal(visit, second, reason="two")
    assert visit.get(f"/matches/{first}/text").status_code == 409
    assert visit.get(f"/matches/{second}/text").status_code == 200
    assert reveals(case) == 2


def test_the_log_has_it_before_the_text_is_read(case: DeskCase, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that dies while it reads the record leaves the row in the log."""
    visit = WebVisit(case).sign_in("aude")

    def die(self: Any, folder: Path, object_id: str) -> str:
        assert reveals(case) == 1
        raise ValueError("Anna Weiß")

    monkeypatch.setattr(CorpusFile, "show", die)
    answer = reveal(visit, match_ids(case)[0], reason="why")
    assert answer.status_code == 500
    assert "Anna" not in answer.text
    assert reveals(case) == 1


def test_signing_out_hides_it(case: DeskCase) -> None:
    visit = WebVisit(case).sign_in("aude")
    first = match_ids(case)[0]
    reveal(visit, first, reason="why")
    visit.fill("/sign-out", page="/set-up")
    assert visit.get(f"/matches/{first}/text").headers["location"] == "/sign-in"
    visit.sign_in("aude")
    assert visit.get(f"/matches/{first}/text").status_code == 409
