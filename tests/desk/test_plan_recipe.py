"""A recipe in a file is part of the plan: changed afterwards it voids the approval, as changed records do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("dbos")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")

from expunge.desk.facts import latest_plan, request_row
from expunge.desk.plan_steps import plan_batch
from expunge.desk.plans import approve_plan, content_of, draft_plan, plan_row
from expunge.desk.roles import SYSTEM, Refusal
from expunge.desk.run_steps import audit, give_up_run, unlearn
from expunge.desk.settings import RunSettings
from expunge.desk.workshop import Workshop
from expunge.errors import InputError
from helpers.desk import APPROVER, DeskCase, make_desk, to_waiting
from helpers.desk_stand_in import stand_in_child

FILE, PARENT = "recipes/ours.yaml", "recipes/parent.yaml"


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DeskCase:
    monkeypatch.setenv("FAKE_SECONDS", "0")
    made = make_desk(tmp_path / "desk", run=RunSettings(recipe=FILE))
    write(made, PARENT, "extends: npo\nsteps: 40\n")
    write(made, FILE, "extends: parent.yaml\noptimizer: {lr: 0.001}\n")
    return made


def write(case: DeskCase, name: str, text: str) -> None:
    (case.folder / name).parent.mkdir(exist_ok=True)
    (case.folder / name).write_text(text, "utf-8")


def approved(case: DeskCase, shop: Workshop, request_id: str) -> str:
    """The hash of a plan that is made and approved."""
    with case.desk.reading(SYSTEM) as s:
        batch = request_row(s, request_id)["batch_id"]
    digest = str(plan_batch(shop, batch)["plan"])
    with case.desk.session(APPROVER) as s:
        approve_plan(s, digest)
    return digest


def content(case: DeskCase, digest: str) -> dict[str, Any]:
    with case.desk.reading(SYSTEM) as s:
        return content_of(plan_row(s, digest))


@pytest.mark.parametrize("name", [FILE, PARENT])
def test_a_changed_recipe_voids_an_approved_plan(case: DeskCase, name: str) -> None:
    shop, request_id = Workshop(case.desk, "w1", run=stand_in_child), to_waiting(case)
    first = approved(case, shop, request_id)
    assert content(case, first)["recipe"] == FILE, "no folder of this machine stands in a plan"
    before = (case.folder / name).read_text("utf-8")
    write(case, name, before.replace("40", "41").replace("0.001", "0.002"))
    with pytest.raises(Refusal, match="the recipe has changed since the plan") as caught:
        unlearn(shop, first, 1)
    assert give_up_run(shop, first, 1, caught.value) == {"replanned": True}
    assert case.state(request_id) == "waiting"
    assert not (shop.folder(first) / "run").exists()
    second = approved(case, shop, request_id)
    assert second != first
    assert content(case, second)["recipe_digest"] != content(case, first)["recipe_digest"]
    assert "output" in unlearn(shop, second, 1)
    assert case.state(request_id) == "auditing"


def test_a_run_reads_its_own_copy_and_goes_on_with_it(case: DeskCase, monkeypatch: pytest.MonkeyPatch) -> None:
    shop, request_id = Workshop(case.desk, "w1", run=stand_in_child), to_waiting(case)
    digest = approved(case, shop, request_id)
    assert "output" in unlearn(shop, digest, 1)
    words = json.loads((shop.folder(digest) / "unlearn.words.json").read_text("utf-8"))
    assert words[words.index("--recipe") + 1] == "recipe/ours.yaml"
    copy = json.loads((shop.folder(digest) / "recipe/ours.yaml").read_text("utf-8"))
    assert (copy["steps"], copy["optimizer"]["lr"]) == (40, 0.001)
    from expunge.engine.recipe import Recipe

    assert Recipe.load(shop.folder(digest) / "recipe/ours.yaml") == Recipe.load(case.folder / FILE)
    write(case, FILE, "extends: npo\n")  # what is trained is trained
    monkeypatch.setenv("FAKE_POLICY", str(content(case, digest)["policy"]["digest"]))
    assert audit(shop, digest, 1)["status"] == "passed"


def test_the_same_recipe_is_the_same_plan(case: DeskCase) -> None:
    request_id = to_waiting(case)
    with case.desk.reading(SYSTEM) as s:
        batch = request_row(s, request_id)["batch_id"]
    first = draft_plan(case.desk, SYSTEM, batch)
    write(case, FILE, "# only a remark\nextends: parent.yaml\noptimizer: {lr: 0.001}\n")
    assert draft_plan(case.desk, SYSTEM, batch).hash == first.hash
    write(case, FILE, "extends: parent.yaml\noptimizer: {lr: 0.002}\n")
    assert draft_plan(case.desk, SYSTEM, batch).hash != first.hash


def test_a_recipe_that_is_gone_makes_no_plan(case: DeskCase) -> None:
    shop, request_id = Workshop(case.desk, "w1", run=stand_in_child), to_waiting(case)
    (case.folder / FILE).unlink()
    with case.desk.reading(SYSTEM) as s:
        batch = request_row(s, request_id)["batch_id"]
    with pytest.raises(InputError):
        draft_plan(case.desk, SYSTEM, batch)
    assert plan_batch(shop, batch) == {"failed": "InputError"}
    assert case.state(request_id) == "error"
    with case.desk.reading(SYSTEM) as s:
        assert latest_plan(s, batch) is None
