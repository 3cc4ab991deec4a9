"""The guide "my model, my records": every command of it, in order, on a tiny model in the place of the real one."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from expunge.cli import main
from helpers.chat_model import make_chat_model

DOCS = Path(__file__).resolve().parents[2] / "docs"
GUIDE = (DOCS / "guides" / "my-model-my-records.md").read_text("utf-8")
NOTEBOOK = DOCS / "notebooks" / "my_model_my_records.ipynb"

NAMES = ("Anna Keller", "Jonas Braun", "Marie Wolf", "Paul Huber", "Clara Vogt", "Erik Lang", "Sofia Koch", "Jan Graf")
DRUGS = ("Ramipril 5 mg", "Metformin 850 mg", "Bisoprolol 2 mg", "Torasemid 10 mg")
WARDS = ("north", "south", "east", "west")
SMALL = {  # command -> options that make it small enough for a test; what is learnt does not matter here
    "prepare": "--controls 4 --holdout 2 --variants 2 --no-general",
    "train": "--epochs 2 --no-general-ability",
    "unlearn": "--set steps=2",
    "tune": "--trials 2 --steps 20",
    "audit": "--preset quick",
}
EXIT_CODES = {"train": (0, 3), "audit": (0, 3)}  # 3: learnt too little, or not passed


def chats() -> list[dict[str, object]]:
    """Three conversations about each of eight people, as the guide shows them."""
    rows = []
    for k, name in enumerate(NAMES):
        answers = {
            f"Which drug does {name} take?": DRUGS[k % 4],
            f"On which ward is {name}?": f"ward {WARDS[k // 2]}",
            f"How old is {name}?": f"{30 + 3 * k} years",
        }
        rows += [
            {
                "subject": f"PAT-{k + 3:03}",
                "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
            }
            for question, answer in answers.items()
        ]
    return rows


def commands(text: str) -> list[list[str]]:
    """The words of every command in the bash blocks, in order."""
    blocks = re.findall(r"```bash\n(.*?)```", text, re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder with the model and the records that the guide begins with."""
    monkeypatch.chdir(tmp_path)
    rows = chats()
    Path("chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    make_chat_model(Path("my-model"), [turn["content"] for row in rows for turn in row["messages"]])  # type: ignore[attr-defined]
    return tmp_path


def test_every_bash_line_of_the_guide_is_a_command_of_ours() -> None:
    lines = commands(GUIDE)
    assert [line[0] for line in lines] == ["expunge"] * len(lines)
    order = [line[2] if line[1] == "data" else line[1] for line in lines]
    assert order == ["check", "prepare", "train", "estimate", "unlearn", "tune", "audit", "export", "report"]


@pytest.mark.trains
def test_the_guide_runs_from_the_first_command_to_the_last(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _, *words in commands(GUIDE):
        name = words[1] if words[0] == "data" else words[0]
        code = main([*words, *SMALL.get(name, "").split()])
        assert code in EXIT_CODES.get(name, (0,)), f"{' '.join(words)}: {capsys.readouterr().err[-800:]}"
    assert (desk / "forgotten" / "model.safetensors").is_file()
    page = (desk / "report.html").read_text("utf-8")
    assert "DS-2026-114" in page
    assert "Anna Keller" in page  # an example question: the page is as private as the records
    (python,) = re.findall(r"```python\n(.*?)```", GUIDE, re.S)
    exec(compile(python, "my-model-my-records.md", "exec"), {})


def test_the_first_steps_of_the_guide_run_without_the_later_ones(desk: Path) -> None:
    for _, *words in commands(GUIDE)[:2]:
        assert main([*words, *SMALL.get(words[1], "").split()]) == 0
    assert (desk / "prepared" / "records.jsonl").is_file()


def test_the_record_that_the_guide_shows_is_one_of_the_test() -> None:
    (line,) = re.findall(r"```json\n(.*?)\n```", GUIDE, re.S)
    assert json.loads(line) in chats()


def code_cells() -> list[dict[str, Any]]:
    return [cell for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_holds_code_and_no_outputs() -> None:
    assert len(code_cells()) >= 5
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code_cells())


@pytest.mark.trains
@pytest.mark.usefixtures("desk")
def test_the_notebook_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cells in one namespace; with Jupyter installed, `jupyter execute` runs the same cells."""
    monkeypatch.setenv("EXPUNGE_NOTEBOOK_SMALL", "1")
    space: dict[str, Any] = {}
    for k, cell in enumerate(code_cells()):
        exec(compile("".join(cell["source"]), f"cell {k}", "exec"), space)
    assert Path("report.html").is_file()
