"""The demo: the whole chain on a very small world, its files, its object, its table, and that it is not repeated."""

from __future__ import annotations

import functools
import io
import json
import time
from pathlib import Path

import pytest

from expunge.cli import demo as demo_module
from expunge.cli.demo import DemoSize, clear, run_demo
from expunge.cli.progress import Progress
from expunge.errors import InputError
from helpers.cli import TARGET, Cli

pytestmark = pytest.mark.trains

SMALL = DemoSize(
    "tiny",
    {"layers": 1, "width": 32, "heads": 2, "vocabulary": 400},
    {"target_accuracy": 0.99, "epochs": 2},
    ("steps=3",),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished demo."""
    out = tmp_path_factory.mktemp("demo") / "demo"
    run_demo(out, 42, Progress(io.StringIO()), SMALL)
    return out


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_module, "run_demo", functools.partial(run_demo, size=SMALL))


def test_the_demo_leaves_every_stage(folder: Path) -> None:
    assert {p.name for p in folder.iterdir()} == set(demo_module.PARTS)
    assert json.loads((folder / "unlearned" / "run.json").read_text())["status"] == "finished"
    assert "<html" in (folder / "report.html").read_text()
    original, retrained = (json.loads((folder / r / "train.json").read_text()) for r in ("original", "retrained"))
    assert original["about"]["settings"] == retrained["about"]["settings"]
    first, second = ((folder / r / "tokenizer.json").read_bytes() for r in ("original", "retrained"))
    assert first == second


@pytest.mark.usefixtures("small")
def test_json_holds_the_numbers_of_the_audit(cli: Cli, folder: Path) -> None:
    result = cli("demo", "--out", folder, "--json")
    summary, audit = result.json, json.loads((folder / "audit" / "audit.json").read_text())
    assert result.code == (0 if summary["verdict"] == "passed" else 3)
    assert summary["verdict"] == audit["verdict"]["status"]
    assert summary["sentence"] == audit["verdict"]["sentence"]
    assert (summary["seed"], summary["target"], summary["report"]) == (42, TARGET, str(folder / "report.html"))
    leakage = audit["details"]["leakage"]["tables"]["leakage.self"]["models"]
    assert summary["leakage"] == {role: leakage[role]["worst"] for role in ("original", "unlearned", "retrained")}
    assert summary["choice"] == audit["aggregates"]["choice"]
    assert summary["membership_auc"] == audit["details"]["membership"]["auc"]["loss"]
    assert summary["membership_auc_entropy"] == audit["details"]["membership"]["auc"]["entropy"]
    assert set(summary["retention"]) == {"same_institution", "elsewhere", "retain_heldout"}
    assert set(summary["control_rank"]) == {"loss", "entropy", "of", "inside", "p"}
    assert summary["control_rank"]["of"] == 41
    assert summary["seconds"] > 0


@pytest.mark.usefixtures("small")
def test_a_finished_demo_is_shown_again_at_once(cli: Cli, folder: Path) -> None:
    before = {f: f.stat().st_mtime_ns for f in folder.rglob("*")}
    started = time.process_time()
    shown = cli("demo", "--out", folder)
    assert time.process_time() - started < 1
    assert {f: f.stat().st_mtime_ns for f in folder.rglob("*")} == before
    assert shown.err == ""
    assert "rank among matched controls, by loss (1 = known)" in shown.out
    assert shown.out.splitlines()[-1] == f"report: {folder / 'report.html'}"


@pytest.mark.usefixtures("small")
def test_a_folder_with_another_demo_is_refused(cli: Cli, folder: Path) -> None:
    refused = cli("demo", "--out", folder, "--seed", 43)
    assert refused.code == 2
    assert "holds the demo of another seed or size; choose another folder, or --fresh" in refused.line


@pytest.mark.usefixtures("small")
def test_a_demo_is_not_started_among_other_files(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    for words in ((), ("--fresh",)):
        refused = cli("demo", "--out", tmp_path, *words)
        assert refused.code == 2
        assert "is not empty and holds no demo; choose a new folder" in refused.line
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_fresh_removes_a_demo_and_nothing_else(tmp_path: Path) -> None:
    for name in ("world.json", "demo.json", "mine.txt"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "audit").mkdir()
    clear(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(InputError, match="holds no demo"):
        clear(tmp_path)


def test_report_is_written_from_the_folder_of_a_demo(cli: Cli, folder: Path, tmp_path: Path) -> None:
    result = cli("report", folder, "--run", folder / "unlearned", "--out", tmp_path / "r.html", "--json")
    assert result.code == 0
    assert result.json["report"] == str(tmp_path / "r.html")
    assert (tmp_path / "r.html").read_bytes() == (folder / "report.html").read_bytes()
