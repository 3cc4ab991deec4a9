"""Fixtures that several rooms share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of development data (see its README); tests that need it are skipped without it."""
    folder = Path(os.environ.get("EXPUNGE_DATA_DIR")
                  or Path(__file__).resolve().parents[2] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no development data: EXPUNGE_DATA_DIR is not set and {folder} is not there")
    return folder
