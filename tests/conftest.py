"""Fixtures that several rooms share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.reliability.bit_flips import FinishedCase, finished_case
from helpers.world import ARCHITECTURES, write_model


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of development data (see its README); tests that need it are skipped without it."""
    folder = Path(os.environ.get("EXPUNGE_DATA_DIR") or Path(__file__).resolve().parents[2] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no development data: EXPUNGE_DATA_DIR is not set and {folder} is not there")
    return folder


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Architecture → a folder with a model of random weights: three blocks, width 32. Read only."""
    root = tmp_path_factory.mktemp("models")
    return {name: write_model(root / name, name) for name in ARCHITECTURES}


@pytest.fixture(scope="session")
def finished_small(tmp_path_factory: pytest.TempPathFactory) -> FinishedCase:
    """A finished run of a tiny model and its audit. Read only: `copied` gives one to damage."""
    return finished_case(tmp_path_factory.mktemp("finished-small"), preset="quick")
