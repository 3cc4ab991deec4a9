"""The web desk's tests use a cheap hash; `test_web_accounts.py` looks at the real one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from helpers.cli import Cli, in_process

if TYPE_CHECKING:
    from helpers.web_oidc import OidcCase


@pytest.fixture(autouse=True)
def _cheap_hash(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    argon2 = pytest.importorskip("argon2")
    for name in ("fastapi", "python_multipart", "pyotp", "segno", "sqlalchemy", "cryptography", "rfc8785", "holidays"):
        pytest.importorskip(name)
    from expunge.web import accounts

    hasher = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(accounts, "_hasher", lambda: hasher)
    accounts._nobody.cache_clear()
    yield
    accounts._nobody.cache_clear()


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run a command line in this process."""
    return in_process(capsys)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[OidcCase]:
    """A web desk with a real identity provider beside it."""
    from helpers.web_oidc import oidc_case

    with oidc_case(tmp_path / "desk") as case:
        yield case
