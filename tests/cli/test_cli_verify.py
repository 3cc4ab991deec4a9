"""`expunge verify`: 0 where all fits, 3 where something does not, 2 where it cannot be asked."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.reliability.bit_flips import TARGET, FinishedCase
from expunge.synthetic.hospital.hospital import Hospital
from helpers.cli import Cli


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The records of `finished_small`."""
    world = Hospital.preset("tiny", seed=7, controls_for=(TARGET,), controls_per_target=2)
    return world.corpus().save(tmp_path_factory.mktemp("records") / "records.jsonl")


def test_a_run_and_an_audit_that_fit(cli: Cli, finished_small: FinishedCase, records: Path) -> None:
    found = cli("verify", finished_small.run, "--data", records, "--json")
    assert (found.code, found.json["problems"], found.json["unchecked"]) == (0, [], [])
    models = ("--original", finished_small.model, "--unlearned", finished_small.run)
    found = cli("verify", finished_small.audit, "--data", records, *models)
    assert found.code == 0
    assert found.out.splitlines()[-1] == f"{finished_small.audit}: all that was checked fits"
    assert "not checked" not in found.out


def test_what_does_not_fit_is_a_line_each(cli: Cli, finished_small: FinishedCase, tmp_path: Path) -> None:
    run = shutil.copytree(finished_small.run, tmp_path / "run")
    (run / "recipe.yaml").write_text("method: npo\n")
    (run / "events.jsonl").unlink()
    found = cli("verify", run)
    assert found.code == 3
    lines = [line for line in found.out.splitlines() if line.startswith("does not fit: ")]
    assert any("recipe.yaml: was changed after the run" in line for line in lines)
    assert any("events.jsonl: is gone" in line for line in lines)
    assert found.out.splitlines()[-1] == f"{run}: {len(lines)} things do not fit"
    assert "not checked: its records: give --data" in found.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere",), "nowhere: there is no such folder"),
        (("{run}", "--original", "x"), "--original: has no meaning for a run"),
        (("{model}", "--data", "x.jsonl"), "--data: has no meaning for a model"),
        (("{run}", "--data", "x.jsonl"), "x.jsonl: "),
    ],
)
def test_a_wrong_question_is_one_line(
    cli: Cli, finished_small: FinishedCase, words: tuple[str, ...], message: str
) -> None:
    found = cli("verify", *(w.format(run=finished_small.run, model=finished_small.model) for w in words))
    assert found.code == 2
    assert message in found.line
