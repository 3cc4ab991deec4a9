"""What is left of a request when its record period is over."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("dbos")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")
pytest.importorskip("securesystemslib")

from sqlalchemy import text

from expunge.desk import tables as t
from expunge.desk.manifest import read_manifest
from expunge.desk.migrations import STEPS, migrate
from expunge.desk.models import alias_row, digest_of
from expunge.desk.plan_steps import promote_plan
from expunge.desk.plans import approve_plan, approve_promotion
from expunge.desk.record_period import CLEARING_DAYS, delete_run_files, ended_plans, purge_records, work_of
from expunge.desk.roles import SYSTEM, Refusal
from expunge.desk.run_steps import audit, certify, unlearn
from expunge.web.run_files import redacted_audit
from helpers.desk import APPROVER, DeskCase, to_planned, to_waiting
from helpers.desk_evidence import AUDITOR, sign, signed_desk, verified
from helpers.desk_stand_in import shop_of


@pytest.fixture
def certified(tmp_path: Path) -> tuple[DeskCase, str, str]:
    """A desk, a request with a signed certificate, and the hash of its plan."""
    case = signed_desk(tmp_path / "desk")
    request_id = to_waiting(case)
    digest = to_planned(case, request_id)
    with case.desk.session(APPROVER) as s:
        approve_plan(s, digest)
    for step in (unlearn, audit, certify):
        step(shop_of(case), digest, 1)
    sign(case, request_id)
    return case, request_id, digest


def ended(case: DeskCase, request_id: str, days: int = 0) -> list[str]:
    """Close a request, let its record period pass, and delete what is left of its plans; returns the problems."""
    with case.desk.session(SYSTEM) as s:
        here = t.request.c.id == request_id
        s.conn.execute(t.request.update().where(here).values(state="closed", closed_at=s.at))
    case.clock.move(days=31 * 37)
    with case.desk.session(SYSTEM) as s:
        assert purge_records(s) == [request_id]
    case.clock.move(days=days)
    with case.desk.reading(SYSTEM) as s:
        plans = ended_plans(s)
    return delete_run_files(case.desk, plans)


def test_after_the_record_period_the_model_in_use_and_its_certificate_stay(
    certified: tuple[DeskCase, str, str],
) -> None:
    case, request_id, digest = certified
    with case.desk.session(APPROVER) as s:
        approve_promotion(s, digest)
    assert promote_plan(shop_of(case), digest) == {"promoted": True}
    folder = case.desk.runs / digest[:16]
    assert (folder / "audit" / "audit.json").is_file()
    root, at = read_manifest(folder), case.clock.now
    assert ended(case, request_id) == []
    assert sorted(path.name for path in folder.iterdir()) == ["certificates", "manifest.json", "run"]
    assert read_manifest(folder) == root is not None
    report = verified(case, request_id, audit=None, at=at)
    assert [str(line) for line in report.lines if line.outcome == "invalid"] == []
    with case.desk.reading(SYSTEM) as s:
        assert work_of(ended_plans(s))[:2] == [f"run:{digest}:", f"release:{digest}:"]


def promoted(case: DeskCase, digest: str) -> Path:
    with case.desk.session(APPROVER) as s:
        approve_promotion(s, digest)
    promote_plan(shop_of(case), digest)
    return case.desk.runs / digest[:16]


def test_a_model_in_use_without_its_manifest_stays(certified: tuple[DeskCase, str, str]) -> None:
    case, request_id, digest = certified
    folder = promoted(case, digest)
    (folder / "manifest.json").unlink()
    (line,) = ended(case, request_id)
    assert "manifest.json: is gone" in line
    assert "restore" in line
    assert sorted(path.name for path in folder.iterdir()) == ["certificates", "run"]
    with case.desk.reading(SYSTEM) as s:
        assert digest_of(case.folder, alias_row(s, "ward")["path"]) == alias_row(s, "ward")["digest"]


@pytest.mark.parametrize("purged", [False, True])
def test_a_version_of_before_stays_until_it_is_purged(certified: tuple[DeskCase, str, str], purged: bool) -> None:
    case, request_id, digest = certified
    folder = promoted(case, digest)
    with case.desk.session(SYSTEM) as s:
        here = t.model_version.c.path == alias_row(s, "ward")["path"]
        s.conn.execute(t.model_alias.update().values(path="model"))
        s.conn.execute(t.plan.update().values(swapped_at=None))
        s.conn.execute(t.model_version.update().where(here).values(purged_at=s.at if purged else None))
    ended(case, request_id)
    assert (folder / "run").is_dir() is not purged
    assert (case.folder / "model").is_dir()


def test_after_the_record_period_a_model_that_was_never_in_use_goes(certified: tuple[DeskCase, str, str]) -> None:
    case, request_id, digest = certified
    assert ended(case, request_id) == []
    assert [path.name for path in (case.desk.runs / digest[:16]).iterdir()] == ["certificates"]


def test_a_page_of_a_deleted_audit_says_why(certified: tuple[DeskCase, str, str]) -> None:
    case, request_id, _ = certified
    assert redacted_audit(case.desk, AUDITOR, request_id)["verdict"]["status"] == "passed"
    ended(case, request_id)
    with pytest.raises(Refusal, match="was deleted at the end of the record period"):
        redacted_audit(case.desk, AUDITOR, request_id)


def test_files_of_a_plan_stay_until_its_last_request_ends(certified: tuple[DeskCase, str, str]) -> None:
    case, request_id, digest = certified
    assert ended(case, request_id, CLEARING_DAYS + 1) == []  # too late: a worker looks for 30 days
    assert (case.desk.runs / digest[:16] / "audit").is_dir()
    with case.desk.session(SYSTEM) as s:
        s.conn.execute(t.request.update().values(records_ended_at=None))
        assert ended_plans(s) == []


def test_a_database_of_before_learns_the_end(tmp_path: Path) -> None:
    case = signed_desk(tmp_path / "desk")
    with case.desk.session(SYSTEM) as s:
        s.conn.execute(text("ALTER TABLE request DROP COLUMN records_ended_at"))
        s.conn.execute(text("UPDATE schema_version SET number = 4"))
        assert migrate(s.conn) == len(STEPS)
        assert purge_records(s) == []


def test_what_cannot_be_deleted_is_said(certified: tuple[DeskCase, str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied")

    case, request_id, digest = certified
    monkeypatch.setattr("shutil.rmtree", refuse)
    (problem,) = ended(case, request_id)
    assert problem.endswith("cannot be deleted: Permission denied; delete it by hand")
    assert digest[:16] in problem
