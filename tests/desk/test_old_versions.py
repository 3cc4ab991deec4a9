"""Old versions that were purged: later requests are audited against the model before them, and nothing else is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("dbos")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")
pytest.importorskip("securesystemslib")

from expunge._io import write_json
from expunge.desk import tables as t
from expunge.desk.connectors.base import place
from expunge.desk.models import alias_row, first_of_chain, removable_versions
from expunge.desk.plan_steps import list_purge, notify, purge_request_assets
from expunge.desk.plans import approve_plan, content_of, plan_row
from expunge.desk.roles import SYSTEM
from expunge.desk.run_steps import audit, unlearn
from expunge.desk.workshop import Workshop
from helpers.desk import APPROVER, DeskCase, to_planned, to_waiting, write_model
from helpers.desk_evidence import promote_signed, signed_desk
from helpers.desk_stand_in import stand_in_child

BJORN = {"name": "Björn Schäfer", "record_number": "PAT-101"}


@pytest.fixture
def purged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DeskCase:
    """A desk whose first request made whole weights and had the first model purged."""
    monkeypatch.setenv("FAKE_SECONDS", "0")
    case = signed_desk(tmp_path / "desk")
    shop = Workshop(case.desk, "w1", run=stand_in_child)
    first = to_waiting(case)
    digest = to_planned(case, first)
    promote_signed(shop, case, first, digest)
    list_purge(shop, digest)
    purge_request_assets(shop, first)
    notify(shop, first)
    assert not (case.folder / "model").exists()
    return case


def test_a_second_request_is_audited_against_the_model_before_it(purged: DeskCase) -> None:
    digest = to_planned(purged, to_waiting(purged, BJORN))
    shop = Workshop(purged.desk, "w1", run=stand_in_child)
    with purged.desk.session(APPROVER) as s:
        approve_plan(s, digest)
    unlearn(shop, digest, 1)
    audit(shop, digest, 1)
    folder = purged.desk.runs / digest[:16]
    words = json.loads((folder / "audit.words.json").read_text("utf-8"))
    original = folder / words[words.index("--original") + 1]
    with purged.desk.reading(SYSTEM) as s:
        content = content_of(plan_row(s, digest))
        assert content["after_run"]
        assert original.resolve() == place(purged.folder, alias_row(s, "ward")["path"]).resolve()
    assert (original / "model").is_dir()


def test_the_first_of_a_chain_is_the_reference_while_all_of_it_is_there(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    for number, start in ((1, "../model"), (2, "../run1")):
        about = {"model": start, "status": "running", "template": "plain", "identity": {}, "method": "npo"}
        (tmp_path / f"run{number}").mkdir()
        write_json(tmp_path / f"run{number}" / "run.json", {**about, "threads": 1})
    assert first_of_chain(tmp_path, "run2") == tmp_path / "model"
    assert first_of_chain(tmp_path, "model") == tmp_path / "model"
    (tmp_path / "run1").rename(tmp_path / "gone")
    assert first_of_chain(tmp_path, "run2") is None


def test_a_version_that_another_model_uses_is_not_removed(purged: DeskCase) -> None:
    write_model(purged.folder / "shared")
    with purged.desk.session(SYSTEM) as s:
        row = {"lineage": "ward", "path": "shared", "digest": "d" * 64, "at": "2020-01-01T00:00:00.000000Z"}
        s.conn.execute(t.model_version.insert().values(**row))
        assert [v["path"] for v in removable_versions(s, "ward")[0]] == ["shared"]
        s.conn.execute(t.model_alias.insert().values(**{**row, "lineage": "clinic"}))
        assert [v["path"] for v in removable_versions(s, "ward")[1]] == ["shared"]
