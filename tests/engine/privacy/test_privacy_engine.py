"""Private runs in a folder: what is told, what is kept secret, and what a kill changes (nothing)."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from expunge.engine.privacy import self_test, statement
from expunge.engine.privacy.budget import PrivacyBudget
from expunge.engine.privacy.privacy_state import SEED, STATEMENT, PrivacyLedger
from expunge.engine.recipe import Recipe
from expunge.engine.unlearn import unlearn
from expunge.errors import InputError
from expunge.privacy.accountant import missing_package
from helpers.privacy import people, private
from helpers.processes import kill_when, lines, unlearning
from helpers.world import one_person

pytestmark = pytest.mark.trains

PLAN: dict[str, Any] = {
    "method": "npo",
    "steps": 8,
    "checkpoint_every": 3,
    "batch": {"forget": 4, "retain": 9},
    "privacy": {"noise": 8.0, "seed": 3},
}


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPUNGE_THREADS", "1")


def told(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / STATEMENT).read_text())
    return found


def result(run: Path) -> dict[str, bytes]:
    return {name: v.numpy().tobytes() for name, v in load_file(next((run / "adapter").glob("*.safetensors"))).items()}


def test_a_resumed_run_repeats_draws_and_noise_and_charges_no_step_twice(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    killed, alone = tmp_path / "killed", tmp_path / "alone"
    kill_when(lambda: lines(killed / "events.jsonl") >= 5, unlearning, folders["llama"], PLAN, killed)
    stopped = told(killed)
    assert stopped["status"] == "running"
    assert [q["released"] for q in stopped["queries"]] == [3, 3]  # as the checkpoint has it
    assert stopped["may_be_claimed"] == []
    for out in (killed, alone):
        unlearn(folders["llama"], one_person(), Recipe(**PLAN), out)
    assert result(killed) == result(alone)
    one, other = told(killed), told(alone)
    assert one.pop("resumed") == 1
    assert other.pop("resumed") == 0
    assert one.pop("self_test")["passed"]  # done again at the start, on other weights
    assert other.pop("self_test")["passed"]
    assert one == other
    assert [q["released"] for q in one["queries"]] == [q["steps"] for q in one["queries"]] == [8, 8]
    assert "resumed 1 time; repeated steps had equal draws and noise, and count once" in "\n".join(
        statement.statement_lines(told(killed))
    )


def test_a_secret_seed_lies_in_the_folder_only_while_the_run_goes_on(folders: dict[str, Path], tmp_path: Path) -> None:
    secret = PLAN | {"privacy": {"noise": 8.0}}
    run = tmp_path / "run"
    kill_when(lambda: lines(run / "events.jsonl") >= 4, unlearning, folders["llama"], secret, run)
    seed = (run / SEED).read_text()
    assert int(json.loads(seed)["seed"], 16) > 2**64
    assert stat.S_IMODE((run / SEED).stat().st_mode) == 0o600
    unlearn(folders["llama"], one_person(), Recipe(**secret), run)
    assert told(run)["status"] == "finished"
    assert not (run / SEED).exists()
    assert json.loads(seed)["seed"] not in "".join(f.read_text() for f in run.glob("*.json*"))
    again = unlearn(folders["llama"], one_person(), Recipe(**secret), tmp_path / "again")
    assert result(run) != result(again)  # other noise


def test_a_run_whose_seed_is_gone_does_not_go_on(folders: dict[str, Path], tmp_path: Path) -> None:
    secret, run = PLAN | {"privacy": {"noise": 8.0}}, tmp_path / "run"
    kill_when(lambda: lines(run / "events.jsonl") >= 4, unlearning, folders["llama"], secret, run)
    (run / SEED).unlink()
    with pytest.raises(InputError, match="cannot be repeated with the same noise"):
        unlearn(folders["llama"], one_person(), Recipe(**secret), run)


def test_a_resumed_run_reuses_the_noise_that_was_solved(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    solved, run = PLAN | {"privacy": {"epsilon": 4.0, "seed": 3}}, tmp_path / "run"
    kill_when(lambda: lines(run / "events.jsonl") >= 4, unlearning, folders["llama"], solved, run)
    noise = [q["noise"] for q in told(run)["queries"]]
    monkeypatch.setattr("expunge.engine.privacy.budget.noise_for", lambda *_: pytest.fail("solved again"))
    unlearn(folders["llama"], one_person(), Recipe(**solved), run)
    found = told(run)
    assert [q["noise"] for q in found["queries"]] == noise
    assert 3.9 < found["epsilon"]["pld"] <= 4.0
    assert found["epsilon"]["agree"]
    assert found["epsilon"]["pld"] < found["epsilon"]["rdp"]


def test_a_failed_self_test_withholds_epsilon_after_a_resume_too() -> None:
    before, after = PrivacyLedger(withheld="the gradients are wrong"), PrivacyLedger()
    after.restore(before.state())
    plan = PrivacyBudget.of(private().resolve(), people(ann=2), people(bob=2))
    passed = self_test.SelfTestResult(4, 0.0, 1e-3, True)
    found = statement.build_statement(plan, plan.cost(), after, passed, "finished")
    assert found["epsilon"] is None
    assert found["withheld"] == "the gradients are wrong"


def test_what_may_be_claimed_stands_beside_epsilon(folders: dict[str, Path], tmp_path: Path) -> None:
    run = unlearn(folders["llama"], one_person(), private(privacy={"noise": 4.0}, steps=2), tmp_path / "run")
    found = told(run)
    text = "\n".join(statement.statement_lines(found))
    assert f"epsilon = {found['epsilon']['pld']:.3f} (PLD; PRV " in text
    assert "delta = 1e-05, unit: subject" in text
    assert "may be claimed: this run's update is (epsilon = " in text
    assert "-differentially private in the records used in this run, unit: subject" in text
    for never in (
        "that the model forgot anything",
        "that epsilon measures forgetting",
        "that data which the model learned before this run is protected",
        "that a membership attack which finds nothing confirms epsilon",
    ):
        assert f"may not be claimed: {never}" in text
    assert "the forget set: its only unit is in every step (rate 1)" in text
    assert "reproducible" not in text
    assert found["self_test"]["passed"]
    assert found["units"] == {"forget": 1, "retain": 2, "together": 3, "in_both": 0}
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    assert all(e["forget"] is None and e["retain"] is None for e in events)


def test_without_the_packages_no_run_is_begun(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone() -> None:
        raise missing_package("dp-accounting")

    monkeypatch.setattr("expunge.privacy.accountant._google", gone)
    plan = private(privacy={"noise": 7.654321}, steps=1)
    with pytest.raises(InputError, match="pip install dp-accounting opacus"):
        unlearn(folders["llama"], one_person(), plan, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_fixed_seed_is_told(folders: dict[str, Path], tmp_path: Path) -> None:
    run = unlearn(folders["llama"], one_person(), private(steps=1), tmp_path / "run")
    assert told(run)["reproducible"]
    assert "reproducible noise: not private against whoever knows the seed" in told(run)["may_be_claimed"][0]
    assert not (run / SEED).exists()


def test_the_papers_noise_is_no_guarantee_and_its_epsilon_is_never_printed(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    plan = private(privacy={"epsilon": 4.125, "paper_formula": True}, steps=3, batch={"forget": 9, "retain": 9})
    found = told(unlearn(folders["llama"], one_person(), plan, tmp_path / "run"))
    text = "\n".join(statement.statement_lines(found))
    assert "no guarantee: noise by the paper's formula; the true cost of this noise is epsilon = " in text
    assert found["epsilon"]["pld"] > 4.125
    assert found["guarantee"] is False
    assert found["may_be_claimed"] == []
    assert "4.125" not in text + json.dumps(found)


def test_the_papers_whole_pipeline_runs_and_says_what_epsilon_leaves_out(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    few = ["steps=3", "batch.forget=9", "batch.retain=27"]
    folder = unlearn(folders["llama"], one_person(), Recipe.load("dual-paper-noise", few), tmp_path / "run")
    found = told(folder)
    text = "\n".join(statement.statement_lines(found))
    assert "no guarantee: noise by the paper's formula; the true cost of this noise is epsilon = " in text
    assert "token saliency and levels of tensors by Fisher information come from raw records" in text
    assert found["guarantee"] is False
    assert found["may_be_claimed"] == []
    about = json.loads((folder / "run.json").read_text())
    assert about["saliency"]["points"] == ["output of the embedding"]
    assert about["loaded"] == ["train.layers: max 4 takes all blocks, as the model has 3"]


def test_an_accountant_that_disagrees_is_told() -> None:
    found = {
        "epsilon": {"pld": 30.0, "prv": 30.5, "rdp": 40.0, "agree": False},
        "queries": [],
        "clip": 1.0,
        "delta": 1e-5,
        "unit": "subject",
        "noise": "given",
        "reproducible": False,
        "resumed": 0,
        "notes": [],
        "may_be_claimed": [],
        "may_not_be_claimed": [],
        "withheld": "",
    }
    assert "the second accountant (PRV) does not agree within 0.02: it gives epsilon = 30.500" in "\n".join(
        statement.statement_lines(found)
    )
    nothing = found | {"epsilon": found["epsilon"] | {"prv": None}}  # type: ignore[operator]
    assert "it gives no answer" in "\n".join(statement.statement_lines(nothing))
    assert (
        "no epsilon: the self-test failed (why)"
        in statement.statement_lines(found | {"epsilon": None, "withheld": "why"})[0]
    )
