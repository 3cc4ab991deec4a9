"""A program that starts the commands of a worker elsewhere, and what is no result of a command that it did not run."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("dbos")
pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")

from expunge.desk.child import STOPPED, ChildResult, run_child
from expunge.desk.plans import approve_plan
from expunge.desk.run_steps import unlearn
from expunge.desk.workshop import Workshop
from expunge.errors import InputError
from helpers.desk import APPROVER, DeskCase, make_desk, to_planned, to_waiting
from helpers.desk_stand_in import stand_in_child


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DeskCase:
    monkeypatch.setenv("FAKE_SECONDS", "0")
    return make_desk(tmp_path / "desk")


LAUNCHER = """#!/bin/sh
echo "$1" > started
shift
exec 3<&0
"$@" <&3 &
child=$!
trap 'kill $child; wait $child; echo ended > ended; exit 143' TERM
wait $child
"""


def test_a_launcher_hands_on_words_codes_and_the_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from expunge.desk import child

    launcher = tmp_path / "launch"
    launcher.write_text(LAUNCHER, "utf-8")
    launcher.chmod(0o700)
    body = "import json, sys, time\nwords = json.load(sys.stdin)\nprint(json.dumps({'words': words}))\n"
    (tmp_path / "own_child.py").write_text(f"{body}time.sleep(float(words[1]))\nsys.exit(3)\n", "utf-8")
    monkeypatch.setattr(child, "ENTRY", "own_child")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    words, run = [str(launcher), "--gres=gpu:1"], tmp_path / "run"
    result = run_child(["x", "0"], run, "step", started=lambda _: None, stop=lambda: False, launcher=words)
    assert (result.code, result.done, result.data) == (3, True, {"words": ["x", "0"]})
    assert (run / "started").read_text("utf-8") == "--gres=gpu:1\n"

    def is_up() -> bool:
        return (run / "long.json").stat().st_size > 0

    result = run_child(["x", "60"], run, "long", started=lambda _: None, stop=is_up, every=0.1, launcher=words)
    assert result.code == STOPPED
    assert (run / "ended").read_text("utf-8") == "ended\n"


def test_a_launcher_of_the_folder_starts_children_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from expunge.cli.desk import _launcher

    (tmp_path / "launch").write_text("#!/bin/sh\n", "utf-8")
    (tmp_path / "launch").chmod(0o700)
    monkeypatch.chdir(tmp_path)
    assert _launcher("./launch --x") == [str(tmp_path / "launch"), "--x"]
    assert _launcher("") == []


@pytest.mark.parametrize("text", ["exit 0", None])
def test_a_command_that_a_launcher_does_not_run_is_not_done(tmp_path: Path, text: str | None) -> None:
    launcher = tmp_path / "launch"
    if text:
        launcher.write_text(f"#!/bin/sh\n{text}\n", "utf-8")
        launcher.chmod(0o700)
    run = tmp_path / "run"
    result = run_child(["x"], run, "step", started=lambda _: None, stop=lambda: False, launcher=[str(launcher)])
    assert not result.done
    assert "the launcher" in (run / "step.log").read_text("utf-8")


@pytest.mark.parametrize("left", [(), ("run/checkpoint/x",)])
def test_a_run_without_a_complete_model_is_not_registered(case: DeskCase, left: tuple[str, ...]) -> None:
    digest = to_planned(case, to_waiting(case))
    with case.desk.session(APPROVER) as s:
        approve_plan(s, digest)
    folder = case.desk.runs / digest[:16]
    for name in left:
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text("x", "utf-8")
    with pytest.raises(InputError, match="holds no complete model"):
        unlearn(Workshop(case.desk, "w1", run=lambda *_, **__: ChildResult(0, {})), digest, 1)
    assert not (folder / "manifest.json").exists()
    assert "output" in unlearn(Workshop(case.desk, "w1", run=stand_in_child), digest, 1)


@pytest.mark.parametrize(
    ("text", "what"), [("no-such-launcher --x", "no program"), ('srun "', "quotation mark"), (" ", "names no program")]
)
def test_a_launcher_that_cannot_start(text: str, what: str, case: DeskCase, capsys: pytest.CaptureFixture[str]) -> None:
    from expunge.cli import main

    assert main(["worker", "--desk", str(case.folder), "--name", "w9", "--launcher", text]) == 2
    assert what in capsys.readouterr().err
