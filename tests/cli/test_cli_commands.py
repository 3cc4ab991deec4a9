"""The commands from records to an audit, on models that hardly learn anything: files, objects, resuming, refusing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from expunge.cli import main
from expunge.corpus import load_corpus
from expunge.engine.recipe import Recipe
from expunge.scope import Scope
from helpers.cli import TARGET, Cli, full_disk

SIZE = ("--layers", 1, "--width", 32, "--heads", 2, "--vocabulary", 400, "--context", 128, "--epochs", 1)
FAST = ("--recipe", "grad_diff", "--set", "batch.forget=4", "--set", "batch.retain=4", "--set", "train.rank=2")


def files(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


@pytest.fixture(scope="module")
def run(world: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two steps with seed 7."""
    out = tmp_path_factory.mktemp("run") / "unlearned"
    words = ["unlearn", "--model", model, "--data", world, "--scope", TARGET, *FAST, "--set", "steps=2", "--seed", 7]
    assert main([str(word) for word in [*words, "--out", out]]) == 0
    return out


def unlearning(world: Path, model: Path, out: Path, steps: int, *more: object) -> tuple[object, ...]:
    return (
        "unlearn",
        "--model",
        model,
        "--data",
        world,
        "--scope",
        TARGET,
        *FAST,
        "--set",
        f"steps={steps}",
        "--out",
        out,
        *more,
    )


def test_generate_writes_records_and_their_description(cli: Cli, tmp_path: Path) -> None:
    words = (
        "data",
        "generate",
        "hospital",
        "--preset",
        "tiny",
        "--patients",
        8,
        "--seed",
        5,
        "--controls-for",
        "patient:P-0001-001",
        "--set",
        "controls_per_target=2",
        "--out",
        tmp_path / "new" / "r.jsonl",
    )
    result = cli(*words, "--json").json
    corpus = load_corpus(tmp_path / "new" / "r.jsonl")
    message = json.loads((tmp_path / "new" / "world.json").read_text())
    assert result == message | {"out": str(tmp_path / "new" / "r.jsonl")}
    assert message["digest"] == corpus.digest
    assert message["rows"]["trained"] == len(corpus.trained)
    assert message["settings"]["patients"] == 8
    before = files(tmp_path)
    assert "trained" in cli(*words).out
    assert files(tmp_path) == before


@pytest.mark.trains
def test_train_reports_exact_match_and_is_not_repeated(cli: Cli, world: Path, tmp_path: Path) -> None:
    words = ("train", "--data", world, *SIZE, "--out", tmp_path / "m")
    result = cli(*words, "--json")
    assert result.code == 3
    assert {k: result.json[k] for k in ("records", "left_out", "reached", "epoch")} == {
        "records": 309,
        "left_out": 0,
        "reached": False,
        "epoch": 1,
    }
    first, last = result.err.splitlines()
    assert "loss" in first  # of the first step
    assert last.startswith("training: 100%, ")
    before = files(tmp_path / "m")
    again = cli(*words)
    assert (again.code, again.err) == (3, "")
    assert "this is less than the target of 99%" in again.out
    assert files(tmp_path / "m") == before
    refused = cli(*words, "--seed", 1)
    assert refused.code == 2
    assert "holds a model trained on other records or settings; choose another folder" in refused.line
    assert files(tmp_path / "m") == before


def test_exclude_scope_leaves_out_every_record_of_the_scope(cli: Cli, world: Path, model: Path, tmp_path: Path) -> None:
    removed = Scope.parse(TARGET).resolve(load_corpus(world)).excluded_ids
    result = cli(
        "train",
        "--data",
        world,
        "--exclude-scope",
        TARGET,
        "--tokenizer-from",
        model,
        *SIZE,
        "--set",
        "optimizer.lr=0.001",
        "--out",
        tmp_path / "m",
        "--json",
    ).json
    assert (result["records"], result["left_out"]) == (309 - len(removed), len(removed))
    settings = json.loads((tmp_path / "m" / "train.json").read_text())["about"]["settings"]
    assert settings["optimizer"]["lr"] == 0.001
    assert (tmp_path / "m" / "tokenizer.json").read_bytes() == (model / "tokenizer.json").read_bytes()


def test_train_starts_from_a_given_model(cli: Cli, world: Path, model: Path, tmp_path: Path) -> None:
    result = cli("train", "--data", world, "--model", model, "--epochs", 1, "--out", tmp_path / "m", "--json")
    assert result.code == 3
    shape = json.loads((tmp_path / "m" / "config.json").read_text())
    assert (shape["num_hidden_layers"], shape["hidden_size"]) == (2, 32)


def test_unlearn_shows_steps_and_losses(cli: Cli, world: Path, model: Path, tmp_path: Path) -> None:
    result = cli(*unlearning(world, model, tmp_path / "u", 3, "--json"))
    assert result.code == 0
    assert {k: result.json[k] for k in ("method", "steps", "seed", "out")} == {
        "method": "grad_diff",
        "steps": 3,
        "seed": 42,
        "out": str(tmp_path / "u"),
    }
    assert result.json["split"]["targets"] == [TARGET]
    last = result.err.splitlines()[-1]
    assert last.startswith("unlearning: 100%, step 3 of 3, forget loss ")
    assert "retain loss" in last


def test_one_seed_decides_the_run_and_the_held_out_retain_set(run: Path, world: Path) -> None:
    about = json.loads((run / "run.json").read_text())
    assert Recipe.load(run / "recipe.yaml").seed == 7
    assert about["identity"]["split"] == Scope.parse(TARGET).resolve(load_corpus(world), seed=7).training_digest


def test_the_same_unlearning_again_changes_nothing(cli: Cli, world: Path, model: Path, run: Path) -> None:
    before = files(run)
    again = cli(*unlearning(world, model, run, 2, "--seed", 7))
    assert (again.code, again.err) == (0, "")
    assert files(run) == before


def test_a_folder_with_another_run_is_refused(cli: Cli, world: Path, model: Path, run: Path, tmp_path: Path) -> None:
    before = files(run)
    refused = cli(*unlearning(world, model, run, 3, "--seed", 7))
    assert refused.code == 2
    assert f"{run}: holds another run (its recipe differs); choose another folder" in refused.line
    assert files(run) == before
    (tmp_path / "mine.txt").write_text("precious")
    assert "is not empty and holds no run" in cli(*unlearning(world, model, tmp_path, 3)).line
    assert files(tmp_path) == {"mine.txt": b"precious"}


@pytest.mark.trains
def test_an_audit_that_does_not_pass_exits_3(cli: Cli, world: Path, model: Path, run: Path, tmp_path: Path) -> None:
    words = (
        "audit",
        "--original",
        model,
        "--unlearned",
        run,
        "--data",
        world,
        "--scope",
        TARGET,
        "--out",
        tmp_path / "a",
        "--preset",
        "quick",
    )
    refused = cli(*words, "--retrained", model)
    assert refused.code == 2
    assert "is the original model itself, so it is no yardstick" in refused.line
    assert not (tmp_path / "a").exists()
    refused = cli(*words, "--policy", "stric")
    assert refused.code == 2
    assert 'did you mean "strict"' in refused.line
    refused = cli(*words, "--policy", "strict")
    assert refused.code == 2
    assert '"strict" needs a retrained model' in refused.line
    result = cli(*words, "--json")
    assert result.code == 3  # a model that knows nothing cannot be shown to have forgotten
    assert result.json["verdict"] in ("failed", "inconclusive")
    written = json.loads((tmp_path / "a" / "audit.json").read_text())
    assert result.json["results"] == written["results"]
    assert result.json["sentence"] == written["verdict"]["sentence"]
    assert (result.json["policy"], result.json["assurance"]["level"]) == ("controls-only", "L1")
    assert written["data"] == world.name
    assert result.err.splitlines()[0].startswith("auditing:   0%, score the original model")
    refused = cli(
        "audit", "--original", model, "--unlearned", model, "--data", world, "--scope", TARGET, "--out", tmp_path / "a"
    )
    assert refused.code == 2
    assert "holds the audit of another model or scope" in refused.line


@pytest.mark.parametrize("more", [("--seed", 8), ("--scope", "patient:P-0001-002")])
def test_an_audit_with_another_split_than_the_run_is_refused(
    cli: Cli, world: Path, model: Path, run: Path, tmp_path: Path, more: tuple[object, ...]
) -> None:
    refused = cli(
        "audit",
        "--original",
        model,
        "--unlearned",
        run,
        "--data",
        world,
        "--scope",
        TARGET,
        *more,
        "--out",
        tmp_path / "a",
    )
    assert refused.code == 2
    assert "was unlearned with other records, another scope or another seed" in refused.line
    assert f'--scope "{TARGET}"' in refused.line
    assert not (tmp_path / "a").exists()


def test_an_audit_is_not_written_among_other_files(
    cli: Cli, world: Path, model: Path, run: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    for out, message in (
        (tmp_path, "is not empty and holds no audit"),
        (run, "is not empty and holds no audit"),
        (tmp_path / "mine.txt", "is a file"),
    ):
        refused = cli(
            "audit", "--original", model, "--unlearned", run, "--data", world, "--scope", TARGET, "--out", out
        )
        assert refused.code == 2
        assert message in refused.line
    assert files(tmp_path) == {"mine.txt": b"precious"}


def test_identifiers_are_proposed_by_subject(cli: Cli, world: Path) -> None:
    result = cli("data", "identifiers", world, "--json").json
    name = next(r.identifiers[0] for r in load_corpus(world).trained if r.subject == TARGET and r.identifiers)
    assert name in result["subjects"][TARGET]
    assert TARGET in cli("data", "identifiers", world).out


def test_a_full_disk_leaves_no_half_written_world(cli: Cli, tmp_path: Path) -> None:
    with full_disk():
        refused = cli("data", "generate", "hospital", "--preset", "tiny", "--out", tmp_path / "r.jsonl")
    assert refused.code == 2
    assert "r.jsonl: could not be written (File too large); free some space" in refused.line
    assert files(tmp_path) == {}


@pytest.mark.trains
def test_a_full_disk_leaves_no_half_written_model(cli: Cli, world: Path, tmp_path: Path) -> None:
    words = ("train", "--data", world, *SIZE, "--out", tmp_path / "m")
    with full_disk():
        refused = cli(*words)
    assert refused.code == 2
    assert refused.err.splitlines()[-1].startswith(f"error: {tmp_path / 'm'}: the model could not be saved")
    assert set(files(tmp_path / "m")) == {"train.json"}
    assert cli(*words).code == 3
    assert (tmp_path / "m" / "model.safetensors").is_file()


def test_a_full_disk_ends_a_run_that_resumes_later(cli: Cli, world: Path, model: Path, tmp_path: Path) -> None:
    words = unlearning(world, model, tmp_path / "u", 4, "--set", "checkpoint_every=2")
    with full_disk(8192):
        refused = cli(*words)
    assert refused.code == 2
    assert "the checkpoint could not be written" in refused.err.splitlines()[-1]
    assert "start the same command again; it resumes" in refused.err.splitlines()[-1]
    finished = cli(*words)
    assert finished.code == 0
    assert json.loads((tmp_path / "u" / "run.json").read_text())["status"] == "finished"


@pytest.mark.process
def test_ctrl_c_keeps_a_checkpoint_and_the_same_command_finishes(
    cli: Cli, world: Path, model: Path, tmp_path: Path
) -> None:
    out, steps = tmp_path / "u", 60
    words = [str(word) for word in unlearning(world, model, out, steps)]
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; from expunge.cli import main; sys.exit(main())", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "EXPUNGE_THREADS": "1"},
    )
    limit = time.monotonic() + 120
    while not (out / "events.jsonl").is_file() or not (out / "events.jsonl").read_text():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    message, noise = process.communicate(timeout=60)
    lines = noise.splitlines()
    assert process.returncode == 2
    assert message == ""
    assert lines[-1].startswith(f"error: {out}: stopped at step ")
    assert lines[-1].endswith(f" of {steps}, checkpoint kept; start the same command again to resume")
    assert all(line.startswith("unlearning: ") for line in lines[:-1])  # and nothing from a library
    done = int(lines[-1].split("stopped at step ")[1].split()[0])
    assert 0 < done < steps
    assert (out / "checkpoint" / "last" / "state.json").is_file()
    finished = cli(*words, "--json")
    assert (finished.code, finished.json["steps"]) == (0, steps)
    logged = [json.loads(line)["step"] for line in (out / "events.jsonl").read_text().splitlines()]
    assert logged == list(range(steps))
