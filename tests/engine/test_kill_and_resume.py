"""A run killed for good and started again ends in the same bits, with the same events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from expunge.engine.recipe import Recipe
from expunge.engine.unlearn import unlearn
from expunge.errors import InputError
from helpers.processes import finish, kill_when, lines, memorising, unlearning
from helpers.world import one_person

pytestmark = pytest.mark.process

FEW = {"forget": 4, "retain": 4}
PHASES = [{"objective": "retain", "steps": 5}, {"objective": "forget", "steps": 5, "layers": "1/3"}]
PLANS: dict[str, dict[str, Any]] = {
    "twin": {"method": "twin", "settings": {"candidates": 2}},
    "twin with blocks left out": {
        "method": "twin",
        "settings": {"candidates": 2},
        "train": {"drop_blocks": 0.5},
        "retain": {"loss": "logit"},
    },
    "dual": {"method": "dual"},
    "sequential": {"method": "sequential", "phases": PHASES},
    "full": {"method": "npo", "retain": {"loss": "kl"}, "train": {"which": "full", "layers": 2}},
    "stops early": {
        "method": "npo",
        "optimizer": {"lr": 0.02, "schedule": "constant"},
        "train": {"layers": 1},
        "steps": 30,
        "stop": {"when": "controls", "check_every": 2, "patience": 2, "tolerance": 9.0, "cooldown": 2},
    },
    "phases that stop early": {
        "method": "sequential",
        "phases": [PHASES[1], PHASES[0], PHASES[1]],
        "optimizer": {"lr": 0.02, "schedule": "constant"},
        "stop": {"when": "controls", "check_every": 2, "patience": 1, "tolerance": 9.0, "cooldown": 0},
    },
    "cache in a file": {"method": "npo", "train": {"layers": 1}, "memory": {"cache_mib": 0}},
}


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPUNGE_THREADS", "1")


def plan(name: str) -> dict[str, Any]:
    return {"steps": 10, "batch": FEW, "checkpoint_every": 3, **PLANS[name]}


def events(run: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k not in ("seconds", "memory")} for row in rows]


def result(run: Path) -> dict[str, bytes]:
    folder = run / ("model" if (run / "model").is_dir() else "adapter")
    return {name: value.numpy().tobytes() for name, value in load_file(next(folder.glob("*.safetensors"))).items()}


@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("twin", 5),
        pytest.param("twin with blocks left out", 5, marks=pytest.mark.matrix),
        ("dual", 8),
        ("sequential", 4),
        pytest.param("sequential", 7, marks=pytest.mark.matrix),
        pytest.param("full", 4, marks=pytest.mark.matrix),
        ("stops early", 5),
        pytest.param("phases that stop early", 6, marks=pytest.mark.matrix),
        ("cache in a file", 5),
    ],
)
def test_a_killed_run_ends_in_the_bits_of_one_that_was_left_alone(
    folders: dict[str, Path], tmp_path: Path, name: str, at: int
) -> None:
    killed, alone = tmp_path / "killed", tmp_path / "alone"
    kill_when(lambda: lines(killed / "events.jsonl") >= at, unlearning, folders["llama"], plan(name), killed)
    assert json.loads((killed / "run.json").read_text())["status"] == "running"
    finish(unlearning, folders["llama"], plan(name), killed)
    unlearn(folders["llama"], one_person(), Recipe(**plan(name)), alone)
    assert result(killed) == result(alone)
    assert events(killed) == events(alone)
    steps = json.loads((alone / "run.json").read_text())["steps"]
    assert [e["step"] for e in events(killed)] == list(range(steps))
    assert steps == 10 or ("stop" in PLANS[name] and steps < 30)
    assert (killed / "result.json").read_text() == (alone / "result.json").read_text()


def test_a_run_killed_before_its_first_checkpoint_starts_over(folders: dict[str, Path], tmp_path: Path) -> None:
    killed, alone = tmp_path / "killed", tmp_path / "alone"
    late = plan("dual") | {"checkpoint_every": 100}
    kill_when(lambda: lines(killed / "events.jsonl") >= 2, unlearning, folders["llama"], late, killed)
    assert not (killed / "checkpoint").exists()
    for out in (killed, alone):
        unlearn(folders["llama"], one_person(), Recipe(**late), out)
    assert result(killed) == result(alone)
    assert events(killed) == events(alone)


def test_a_killed_run_refuses_another_recipe_and_is_no_model(folders: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "run"
    kill_when(lambda: lines(out / "events.jsonl") >= 1, unlearning, folders["llama"], plan("dual"), out)
    with pytest.raises(InputError, match=r"holds another run \(its recipe differs\)"):
        unlearn(folders["llama"], one_person(), Recipe(**plan("dual"), seed=1), out)
    with pytest.raises(InputError, match="this run is not finished"):
        unlearn(out, one_person(), Recipe(**plan("dual")), tmp_path / "next")


def test_memorising_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    killed, alone = tmp_path / "killed", tmp_path / "alone"
    kill_when(lambda: (killed / "checkpoint" / "last" / "state.json").is_file(), memorising, killed)
    assert not (killed / "model.safetensors").exists()
    for out in (killed, alone):
        finish(memorising, out)
    assert (killed / "model.safetensors").read_bytes() == (alone / "model.safetensors").read_bytes()
    one, two = (json.loads((out / "train.json").read_text()) for out in (killed, alone))
    for found in (one, two):
        assert found["progress"].pop("seconds") > 0
    assert one == two
    assert one["progress"]["epoch"] == 7
    assert not (killed / "checkpoint").exists()
