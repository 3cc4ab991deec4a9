"""With EXPUNGE_DESK_POSTGRES=1 every desk of these tests lies on a PostgreSQL server that the tests start."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from helpers import postgres


@pytest.fixture(scope="session", autouse=True)
def _database() -> Iterator[None]:
    if os.environ.get("EXPUNGE_DESK_POSTGRES") != "1":
        yield
        return
    if problem := postgres.problem():
        pytest.skip(problem)
    with postgres.server() as url:
        os.environ["EXPUNGE_DESK_SERVER"] = url
        yield
        del os.environ["EXPUNGE_DESK_SERVER"]
