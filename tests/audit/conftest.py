"""Fixtures of the audit tests: models whose verdict is known, trained once for all of them."""

from __future__ import annotations

import pytest

from helpers.audited import Case, build_case


@pytest.fixture(scope="session")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return build_case(tmp_path_factory.mktemp("audited"))
