"""A command line in this process, a tiny hospital, and a tiny model with random weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from expunge.synthetic.hospital.hospital import Hospital
from helpers.cli import TARGET, Cli, in_process, make_model


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run a command line in this process."""
    return in_process(capsys)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """records.jsonl of the tiny hospital with a few controls of the target."""
    made = Hospital.preset("tiny", seed=3, controls_for=(TARGET,), controls_per_target=4)
    return made.corpus().save(tmp_path_factory.mktemp("world") / "records.jsonl")


@pytest.fixture(scope="session")
def model(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of two blocks of width 32 that knows nothing."""
    return make_model(world, tmp_path_factory.mktemp("model") / "tiny", vocabulary=400)
