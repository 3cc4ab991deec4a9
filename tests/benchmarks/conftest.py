"""Fixtures of the speed programs' tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def restore_threads() -> Iterator[None]:
    """The programs set the number of threads of the process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
