"""Two real processes (gloo, CPU) do what one does: the same weights, one run directory, one line per error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from expunge.engine import checkpoint
from expunge.engine.recipe import Recipe
from expunge.engine.unlearn import unlearn
from expunge.errors import InputError
from helpers.distributed_processes import asked_to_stop, dying, launch, looking, notes, typing, unlearning
from helpers.processes import start
from helpers.world import TARGET, one_person, people

pytestmark = pytest.mark.process

ROUNDING = 1e-7  # largest difference of any adapter weight; weights are up to 0.2, so a unit in the last place is 1e-8
MOVED = 2e-4  # the least that the weight which moves most has moved in every run here
PLAIN = {"name": "sgd", "lr": 0.1, "clip_norm": None}
SHORT: dict[str, Any] = {"steps": 2, "optimizer": PLAIN, "batch": {"forget": 5, "retain": 4}}
TWIN: dict[str, Any] = {"method": "twin", "settings": {"candidates": 2}}
CACHED: dict[str, Any] = {"method": "npo", "train": {"layers": 1}}
ATTACK: dict[str, Any] = {"relearning": {"steps": 1, "start": 0}}
SHARD: dict[str, Any] = {"parallel": {"shard": True}}
PLANS: dict[str, dict[str, Any]] = {
    "npo": SHORT | {"method": "npo"},
    "dual": SHORT | {"method": "dual"},
    "twin": SHORT | TWIN,
    "twin in other formats": SHORT | TWIN | {"formats": 2},
    "kl on cached blocks": SHORT | CACHED | {"retain": {"loss": "kl"}},
    "logits on cached blocks": SHORT | CACHED | {"retain": {"loss": "logit"}},
    "blocks left out": SHORT | {"method": "npo", "train": {"drop_blocks": 0.5}},
    "npo behind an attacker": SHORT | {"method": "npo"} | ATTACK,
    "twin behind an attacker, on cached blocks": SHORT | TWIN | ATTACK | {"train": {"layers": 1}},
    "lower blocks": SHORT | {"method": "npo", "lower_blocks": {"weight": 4.0}},
    "fewer rows than processes": SHORT | {"method": "dual", "batch": {"forget": 1, "retain": 1}},
}
MICRO = {
    f"{name} by {micro}": PLANS[name] | {"batch": {"forget": 5, "retain": 4, "micro": micro}}
    for name, micro in (
        ("npo", 1),
        ("npo", 3),
        ("dual", 3),
        ("twin", 1),
        ("npo behind an attacker", 2),
        ("lower blocks", 2),
    )
}
SHARDED = {
    f"{name}, sharded": PLANS[name] | SHARD for name in ("twin", "kl on cached blocks", "fewer rows than processes")
} | {"npo by 1, sharded": MICRO["npo by 1"] | SHARD | {"memory": {"checkpointing": True}}}


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPUNGE_THREADS", "1")


@pytest.fixture(scope="module")
def one(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of one process."""
    root = tmp_path_factory.mktemp("one")
    for name, plan in (PLANS | MICRO).items():
        unlearn(folders["llama"], one_person(), Recipe(**plan), root / name)
    return root


@pytest.fixture(scope="module")
def two(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same runs, and those with blocks cut over the processes, of two."""
    root = tmp_path_factory.mktemp("two")
    assert launch(2, unlearning, folders["llama"], PLANS | MICRO | SHARDED, root) == [0, 0]
    return root


def adapter(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "adapter" / "adapter_model.safetensors")


def apart(run: Path, other: Path) -> float:
    """The largest difference of any two weights."""
    a, b = adapter(run), adapter(other)
    assert a.keys() == b.keys()
    return max(float((a[name] - b[name]).abs().max()) for name in a)


def moved(run: Path) -> float:
    """The most that a weight has moved of those which begin at 0."""
    return max(float(value.abs().max()) for name, value in adapter(run).items() if "lora_B" in name)


@pytest.mark.parametrize("name", PLANS)
def test_two_processes_end_where_one_does(one: Path, two: Path, name: str) -> None:
    assert moved(one / name) > MOVED
    assert apart(one / name, two / name) < ROUNDING


@pytest.mark.parametrize("name", MICRO)
def test_micro_batches_change_nothing_with_one_process_or_two(one: Path, two: Path, name: str) -> None:
    whole = one / name.rpartition(" by ")[0]
    assert apart(whole, one / name) < ROUNDING
    assert apart(whole, two / name) < ROUNDING


@pytest.mark.parametrize("name", SHARDED)
def test_blocks_cut_over_two_processes_give_the_weights_of_one_process(one: Path, two: Path, name: str) -> None:
    assert apart(one / name.removesuffix(", sharded"), two / name) < ROUNDING


def test_the_run_directory_is_written_by_one_and_tells_of_the_whole_batch(one: Path, two: Path) -> None:
    for name in PLANS:
        mine, theirs = (
            [json.loads(line) for line in (root / name / "events.jsonl").read_text().splitlines()]
            for root in (one, two)
        )
        assert [e["step"] for e in theirs] == [0, 1]
        for a, b in zip(mine, theirs, strict=True):
            assert [a[k] for k in ("forget", "retain", "norm")] == pytest.approx(
                [b[k] for k in ("forget", "retain", "norm")], rel=1e-4, abs=1e-6
            )
        about = [json.loads((root / name / "run.json").read_text()) for root in (one, two)]
        assert about[0]["identity"] == about[1]["identity"]
        assert about[1]["status"] == "finished"


def test_processes_share_no_row_of_a_step_and_none_is_left_out(folders: dict[str, Path], tmp_path: Path) -> None:
    plans = {
        "cached": SHORT | CACHED | {"batch": {"forget": 5, "retain": 3, "micro": 2}},
        "sharded": SHORT | CACHED | SHARD,
    }
    assert launch(2, looking, folders["llama"], plans, tmp_path) == [0, 0]
    left, right = notes(tmp_path)
    found = [[[k for part in step for k in part] for step in side["cached"]["steps"]] for side in (left, right)]
    assert left["cached"]["batches"] == right["cached"]["batches"]
    for batch, mine, theirs in zip(left["cached"]["batches"], *found, strict=True):
        assert sorted(mine + theirs) == sorted(batch)
        assert not set(mine) & set(theirs)
    for side in (left, right):
        assert "the first 2 of 3 blocks cached" in side["cached"]["about"]
        assert "the first 2 of 3 blocks cached" in side["sharded"]["about"]
        assert side["cached"]["local"] == 0
        assert side["sharded"]["local"] == side["sharded"]["whole"] // 2  # half of every block, nothing else


def test_what_two_processes_left_one_completes_and_the_other_way_round(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    plan = {**SHORT, **TWIN, "steps": 6, "checkpoint_every": 2, "optimizer": {"name": "adamw", "lr": 1e-3}}
    unlearn(folders["llama"], one_person(), Recipe(**plan), tmp_path / "alone")
    assert launch(2, dying, folders["llama"], plan, tmp_path / "2 then 1", 4) == [-9, -9]
    child = start(dying, folders["llama"], plan, tmp_path / "1 then 2", 4)
    child.join()
    assert child.exitcode == -9
    saved = [checkpoint.load(tmp_path / run / "checkpoint") for run in ("2 then 1", "1 then 2")]
    assert all(saved)
    assert saved[0]["step"] == saved[1]["step"] == 4
    torch.testing.assert_close(saved[0]["targets"], saved[1]["targets"])  # losses of rows that either process has seen
    assert (saved[0]["targets"]["losses"] > 0).sum() > 5
    for run in ("2 then 1", "1 then 2"):
        assert json.loads((tmp_path / run / "run.json").read_text())["status"] == "running"
    unlearn(folders["llama"], one_person(), Recipe(**plan), tmp_path / "2 then 1")
    assert launch(2, unlearning, folders["llama"], {"1 then 2": plan}, tmp_path) == [0, 0]
    for run in ("2 then 1", "1 then 2"):
        steps = [json.loads(line)["step"] for line in (tmp_path / run / "events.jsonl").read_text().splitlines()]
        assert steps == list(range(6))
        assert moved(tmp_path / run) > MOVED
        assert apart(tmp_path / run, tmp_path / "alone") < 1e-5  # adam divides by gradients that are nearly 0


def test_a_stop_asked_of_one_process_stops_both_with_one_checkpoint(folders: dict[str, Path], tmp_path: Path) -> None:
    plan = SHORT | {"method": "npo", "steps": 6, "checkpoint_every": 100}
    assert launch(2, asked_to_stop, folders["llama"], plan, tmp_path / "run", 1) == [0, 0]
    left, right = notes(tmp_path)
    assert left["type"] == right["type"] == "Interrupted"
    assert left["line"] == right["line"]
    assert "stopped at step 2 of 6, checkpoint kept" in left["line"]
    assert (left["silent"], right["silent"]) == (False, True)
    assert (tmp_path / "run" / "checkpoint" / "last" / "state.json").is_file()
    unlearn(folders["llama"], one_person(), Recipe(**plan), tmp_path / "run")
    unlearn(folders["llama"], one_person(), Recipe(**plan), tmp_path / "alone")
    assert apart(tmp_path / "run", tmp_path / "alone") < ROUNDING


def test_an_error_of_any_process_is_one_line_and_the_exit_code_of_all(folders: dict[str, Path], tmp_path: Path) -> None:
    data = people().save(tmp_path / "records.jsonl")
    (tmp_path / "file").write_text("mine")

    def words(out: str, records: Path = data, *more: str) -> list[str]:
        short = ["--set", "steps=2", "--set", "batch.forget=4", "--set", "batch.retain=4"]
        return [
            "unlearn",
            "--model",
            str(folders["llama"]),
            "--data",
            str(records),
            "--scope",
            TARGET,
            "--recipe",
            "npo",
            "--out",
            str(tmp_path / out),
            *short,
            *more,
        ]

    hot = ("--set", "optimizer.lr=1e30", "--set", "optimizer.clip_norm=null", "--set", "steps=5")
    wrong = {
        "unknown option": ([[*words("a"), "--nonsense"]] * 2, 2, "--nonsense"),
        "unknown recipe": ([words("b", data, "--recipe", "nonsense")] * 2, 2, "nonsense"),
        "records missing in one": ([words("c"), words("c", tmp_path / "gone.jsonl")], 2, "gone.jsonl"),
        "a file in the way": ([words("file")] * 2, 2, "is a file"),
        "another recipe in one": ([words("d"), words("d", data, "--set", "seed=7")], 2, "process 1: was given another"),
        "diverged": ([words("e", data, *hot)] * 2, 1, "no longer finite"),
    }
    assert launch(2, typing, [*[w for w, _, _ in wrong.values()], [words("good")] * 2], tmp_path) == [0, 0]
    left, right = notes(tmp_path)
    for (name, (_, code, text)), a, b in zip(wrong.items(), left, right, strict=False):
        assert (a["code"], b["code"]) == (code, code), name
        said = a["err"] + b["err"]
        assert [line for line in said.splitlines() if line.startswith("error:") and text in line], (name, said)
        assert said.count("error:") == 1, (name, said)
        assert not b["err"], name
    assert left[-1]["code"] == right[-1]["code"] == 0
    assert "run written to" in left[-1]["out"]
    assert right[-1]["out"] + right[-1]["err"] == ""
    for run in "abcd":
        assert not (tmp_path / run).exists()


def test_blocks_that_train_are_not_cut() -> None:
    with pytest.raises(InputError, match=r"recipe: parallel\.shard: shards frozen weights"):
        Recipe(method="npo", train={"which": "full"}, parallel={"shard": True}).resolve()
    assert Recipe(**PLANS["npo"] | SHARD).resolve().recipe.parallel.shard


def test_the_recipe_of_the_guide_is_a_recipe(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "multi-gpu.md").read_text("utf-8")
    (tmp_path / "eight.yaml").write_text(guide.split("```yaml\n")[1].split("```")[0])
    recipe = Recipe.load(tmp_path / "eight.yaml")
    assert (recipe.method, recipe.memory.checkpointing, recipe.batch.micro) == ("twin", True, 4)
