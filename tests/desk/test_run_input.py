"""What a run is given: nothing of earlier requests, but where the run knows it again and keeps it forgotten."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("dbos")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")
pytest.importorskip("securesystemslib")

from expunge.desk.facts import request_row
from expunge.desk.plan_wish import PlanWish
from expunge.desk.plans import draft_plan
from expunge.desk.roles import SYSTEM
from expunge.desk.run_input import RunInput, prepare_input
from helpers.desk import DeskCase, to_review, to_waiting
from helpers.desk_guard import fulfil, guarded_desk, person

EARLIER, OWN = {"PAT-100-d", "PAT-100-m"}, {"PAT-101-d", "PAT-101-m"}


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DeskCase:
    monkeypatch.setenv("FAKE_SECONDS", "0")
    return guarded_desk(tmp_path / "desk")


def plan_input(case: DeskCase, kind: str, *, number: int = 1, is_after: bool = True) -> tuple[set[str], set[str]]:
    """Ids of the records that the run of a second request is given, and of those that its training leaves out."""
    request_id = to_waiting(case, person(number))
    with case.desk.reading(SYSTEM) as s:
        batch = request_row(s, request_id)["batch_id"]
    content = draft_plan(case.desk, SYSTEM, batch, PlanWish(kind=kind)).content
    assert content["after_run"]
    folder = case.folder / "input"
    folder.mkdir()
    with case.desk.reading(SYSTEM) as s:
        made = prepare_input(s, content if is_after else {**content, "after_run": None}, folder)
    return ids_of(folder, made), set((folder / made.excluded.removeprefix("ids:@")).read_text("utf-8").split())


def ids_of(folder: Path, made: RunInput) -> set[str]:
    lines: list[str] = (folder / made.data[1]).read_text("utf-8").splitlines()
    return {str(json.loads(line)["id"]) for line in lines}


def forgotten(case: DeskCase, stays: bool) -> None:
    """An earlier request that is fulfilled; its records were removed from the corpus, or stay there."""
    fulfil(case, 0, purge=not stays)


@pytest.mark.parametrize("stays", [False, True])
@pytest.mark.parametrize(("kind", "is_after"), [("retrain", True), ("unlearn", False)])
def test_a_run_without_the_chain_is_given_nothing_of_before(
    case: DeskCase, kind: str, is_after: bool, stays: bool
) -> None:
    forgotten(case, stays)
    given, excluded = plan_input(case, kind, is_after=is_after)
    assert given.isdisjoint(EARLIER)
    assert given >= OWN
    assert excluded == OWN


@pytest.mark.parametrize("stays", [False, True])
def test_a_run_of_the_chain_is_asked_again(case: DeskCase, stays: bool) -> None:
    forgotten(case, stays)
    given, excluded = plan_input(case, "unlearn")
    assert given >= OWN | EARLIER
    assert excluded == (OWN | EARLIER if stays else OWN)


def test_a_record_that_is_asked_for_again_is_given(case: DeskCase) -> None:
    forgotten(case, stays=True)
    assert plan_input(case, "unlearn", number=0, is_after=False)[0] >= EARLIER


def test_people_of_other_open_requests_are_no_stand_ins(case: DeskCase) -> None:
    request_id = to_waiting(case, person(0))
    with case.desk.reading(SYSTEM) as s:
        batch = request_row(s, request_id)["batch_id"]
    content = draft_plan(case.desk, SYSTEM, batch).content
    to_review(case, person(1))
    names = []
    for is_rehearsal in (False, True):
        folder = case.folder / f"input-{is_rehearsal}"
        folder.mkdir()
        with case.desk.reading(SYSTEM) as s:
            made = prepare_input(s, content, folder, is_rehearsal=is_rehearsal)
        names.append(set((folder / made.excluded.removeprefix("ids:@")).read_text("utf-8").split()))
    assert names[0] == {"PAT-100-d", "PAT-100-m"}
    assert names[1] == {*names[0], "PAT-101-d", "PAT-101-m"}
