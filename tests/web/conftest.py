"""The web desk's tests use a cheap hash; `test_web_accounts.py` looks at the real one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


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
