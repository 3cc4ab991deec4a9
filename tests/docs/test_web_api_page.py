"""The page of the API says what the API is."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("argon2")
pytest.importorskip("sqlalchemy")
pytest.importorskip("cryptography")

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "web-api.md"


def test_the_page_is_written_from_the_description() -> None:
    from expunge.web.api_page import api_page

    hint = "write api_page() of expunge.web.api_page into docs/reference/web-api.md"
    assert PAGE.read_text("utf-8") == api_page(), hint
