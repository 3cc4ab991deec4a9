"""A run that brings back what an earlier request forgot: nothing of it comes into use, and the way goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("dbos")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("securesystemslib")

from expunge.desk.dispatch import round_of
from expunge.desk.facts import request_row
from expunge.desk.models import alias_row
from expunge.desk.plan_wish import PlanWish
from expunge.desk.plans import content_of, plan_again, plan_row
from expunge.desk.receipts import issue_receipts
from expunge.desk.roles import SYSTEM
from expunge.desk.workshop import Workshop
from helpers.desk import OPERATOR, DeskCase, to_audit_passed, to_planned, to_waiting
from helpers.desk_evidence import promote_signed, signed_desk, verified
from helpers.desk_stand_in import stand_in_child

BJORN = {"name": "Björn Schäfer", "record_number": "PAT-101"}


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DeskCase:
    monkeypatch.setenv("FAKE_SECONDS", "0")
    return signed_desk(tmp_path / "desk")


def alias(case: DeskCase) -> dict[str, Any]:
    with case.desk.reading(SYSTEM) as s:
        return dict(alias_row(s, "ward"))


def content(case: DeskCase, digest: str) -> dict[str, Any]:
    with case.desk.reading(SYSTEM) as s:
        return content_of(plan_row(s, digest))


def test_what_came_back_changes_nothing_in_use_and_is_planned_again(case: DeskCase) -> None:
    first = to_waiting(case)
    promote_signed(Workshop(case.desk, "w1", run=stand_in_child), case, first, to_planned(case, first))
    issue_receipts(case.desk)
    in_use = alias(case)
    second = to_waiting(case, BJORN)
    digest = to_planned(case, second)
    to_audit_passed(case, second, "passed", "failed")
    assert case.state(second) == "audit_failed"
    assert alias(case) == in_use
    assert verified(case, first).is_valid, "the earlier certificate is about the model that is in use"
    with case.desk.session(SYSTEM) as s:
        batch = request_row(s, second)["batch_id"]
        assert [job for job in round_of(s) if job.target in (batch, digest)] == [], "a person says how it goes on"
    again = plan_again(case.desk, OPERATOR, batch, PlanWish())
    before, after = content(case, digest), content(case, again)
    assert (after["model"], after["after_run"]) == (before["model"], before["after_run"]), "from the chain"
    assert (after["number"], after["seed"]) == (2, "43")
    assert case.state(second) == "planned"
