"""A corpus whose records show pictures: what runs are given, what stays for later runs, and what a purge removes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("dbos")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")
pytest.importorskip("securesystemslib")

from expunge.corpus import Record, load_corpus
from expunge.desk import picture_purge
from expunge.desk.assets import add_asset
from expunge.desk.facts import request_row
from expunge.desk.merged_input import PICTURES
from expunge.desk.plan_steps import list_purge, purge_request_assets
from expunge.desk.plan_wish import PlanWish
from expunge.desk.plans import draft_plan
from expunge.desk.probes import FOLDER, shred_probes
from expunge.desk.purging import tasks
from expunge.desk.roles import SYSTEM, Refusal
from expunge.desk.run_input import prepare_input
from expunge.errors import InputError
from helpers.desk import OPERATOR, DeskCase, to_waiting
from helpers.desk_guard import fulfil, guarded_desk, person
from helpers.desk_stand_in import shop_of
from helpers.images import encoded

SHARED = "images/ward.png"


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DeskCase:
    """Each person has a picture; the first two also show one of the ward."""
    monkeypatch.setenv("FAKE_SECONDS", "0")
    made = guarded_desk(tmp_path / "desk")
    add_pictures(made.folder / "ward.jsonl")
    return made


def add_pictures(file: Path) -> None:
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    (file.parent / "images").mkdir(exist_ok=True)
    (file.parent / SHARED).write_bytes(encoded(200))
    for k, row in enumerate(rows):
        if row["id"].endswith("-d"):
            row["image"] = f"images/{row['subject']}.png"
            (file.parent / row["image"]).write_bytes(encoded(k))
        elif k < 4:
            row["image"] = SHARED
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


def plan_of(case: DeskCase, number: int, kind: str = "unlearn", **decisions: tuple[str, str]) -> dict[str, Any]:
    request_id = to_waiting(case, person(number), **decisions)
    with case.desk.reading(SYSTEM) as s:
        batch = request_row(s, request_id)["batch_id"]
    return draft_plan(case.desk, SYSTEM, batch, PlanWish(kind=kind)).content


def given(case: DeskCase, content: dict[str, Any], name: str = "input") -> dict[str, Record]:
    folder = case.folder / name
    folder.mkdir(exist_ok=True)
    with case.desk.reading(SYSTEM) as s:
        made = prepare_input(s, content, folder)
    return {r.id: r for r in load_corpus(folder / made.data[1])}


def digests(records: dict[str, Record]) -> dict[str, str]:
    return {name: r.image.digest for name, r in records.items() if r.image}


def test_a_purge_removes_the_pictures_that_nobody_else_shows(case: DeskCase) -> None:
    request_id = fulfil(case, 0)
    names = {path.name for path in (case.folder / "images").iterdir()}
    assert "PAT-100.png" not in names
    assert names >= {"ward.png", "PAT-101.png", "PAT-102.png"}
    with case.desk.reading(SYSTEM) as s:
        receipts = {row["asset"]: json.loads(row["receipt"]) for row in tasks(s, request_id) if row["receipt"]}
    assert receipts["notes"]["removed"] == 2
    assert receipts["notes"]["note"] == "other records show, and keep, 1 picture of these"
    assert list((case.folder / picture_purge.FOLDER).iterdir()) == []
    fulfil(case, 1, [0.1])
    assert not (case.folder / SHARED).exists()


def test_a_killed_purge_goes_on(case: DeskCase, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(path: Path) -> None:
        raise InputError(str(path), "cannot be removed", "")

    request_id = fulfil(case, 0, purge=False)
    with case.desk.reading(SYSTEM) as s:
        plan = str(s.conn.exec_driver_sql("SELECT hash FROM plan").scalar_one())
    list_purge(shop_of(case), plan)
    with monkeypatch.context() as patch:
        patch.setattr(picture_purge, "remove_folder", killed)
        purge_request_assets(shop_of(case), request_id)
    assert (case.folder / "images" / "PAT-100.png").is_file()
    purge_request_assets(shop_of(case), request_id)
    assert not (case.folder / "images" / "PAT-100.png").exists()
    assert list((case.folder / picture_purge.FOLDER).iterdir()) == []


def test_a_corpus_that_cannot_be_written_leaves_no_list(case: DeskCase) -> None:
    records = [r for r in load_corpus(case.folder / "ward.jsonl") if r.subject == "PAT-100"]
    with pytest.raises(InputError), picture_purge.removing_pictures(case.desk, "task", records):
        raise InputError("ward.csv", "cannot be written", "")
    assert list((case.folder / picture_purge.FOLDER).iterdir()) == []
    assert (case.folder / "images" / "PAT-100.png").is_file()


def test_later_runs_of_the_chain_are_asked_with_the_pictures(case: DeskCase) -> None:
    before = digests({r.id: r for r in load_corpus(case.folder / "ward.jsonl")})
    first = fulfil(case, 0)
    assert digests(given(case, plan_of(case, 1))) == before
    assert len(list((case.folder / "input" / PICTURES).iterdir())) == len(set(before.values()))
    with case.desk.session(SYSTEM) as s:
        shred_probes(s, first)
    assert list((case.folder / FOLDER).iterdir()) == []


def test_a_retraining_is_given_no_picture_of_earlier_requests(case: DeskCase) -> None:
    fulfil(case, 0, purge=False)
    records = given(case, plan_of(case, 1, "retrain"))
    assert not [name for name in records if name.startswith("PAT-100")]
    assert len(digests(records)) == len(records) // 2 + 1


def test_corpora_that_call_different_pictures_the_same_are_joined(case: DeskCase) -> None:
    other = case.folder / "clinic" / "notes.jsonl"
    other.parent.mkdir()
    (other.parent / "images").mkdir()
    (other.parent / "images" / "PAT-102.png").write_bytes(encoded(77))
    row = {"id": "x", "prompt": "Whom does it show?", "answer": "Jürgen Müller", "image": "images/PAT-102.png"}
    other.write_text(json.dumps(row) + "\n", "utf-8")
    with case.desk.session(OPERATOR) as s:
        add_asset(s, "clinic", "corpus", "corpus", {"path": "clinic/notes.jsonl"}, lineage="ward")
    records = given(case, plan_of(case, 0, clinic=("erase", "")))
    shown = {name.rpartition(".")[2]: r.image.digest for name, r in records.items() if r.image}
    assert shown["x"] != shown["PAT-102-d"]


def test_a_picture_that_changed_after_the_plan_voids_it(case: DeskCase) -> None:
    content = plan_of(case, 0)
    (case.folder / "images" / "PAT-103.png").write_bytes(encoded(99))
    with pytest.raises(Refusal, match="a corpus has changed since the plan"):
        given(case, content)
