"""The reference pages are written from the code; here with a stand-in for the plugin of MkDocs."""

from __future__ import annotations

import importlib.util
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "generate_reference.py"


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """Text of each page by its file name."""
    written: dict[str, str] = {}

    @contextmanager
    def open_page(name: str, _: str) -> Iterator[io.StringIO]:
        stream = io.StringIO()
        yield stream
        written[name] = stream.getvalue()

    stand_in = ModuleType("mkdocs_gen_files")
    stand_in.open = open_page  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "mkdocs_gen_files", stand_in)
        patch.setattr(sys, "path", list(sys.path))
        spec = importlib.util.spec_from_file_location("generate_reference", SCRIPT)
        assert spec is not None
        assert spec.loader is not None
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    return written


def test_the_index_names_every_page(pages: dict[str, str]) -> None:
    names = {Path(name).stem for name in pages} - {"index"}
    assert all(f"({name}.md)" in pages["reference/index.md"] for name in names)
    assert pages["reference/index.md"].count(".md)") == len(names)


@pytest.mark.parametrize(
    ("page", "row"),
    [
        ("record-fields", "| `identifiers` | `tuple[str, ...]` | Strings in the prompt that name the subject"),
        ("recipe-keys", "| `optimizer.lr` | `float` | `0.001` | learning rate"),
        ("recipes", "| `npo` | Negative preference optimization: push"),
        ("methods", "| `beta` | `float` | `0.1` | inverse temperature"),
        ("cli", "| Also log the steps with tensorboard"),
    ],
)
def test_a_page_holds_what_the_code_says(pages: dict[str, str], page: str, row: str) -> None:
    assert row in pages[f"reference/{page}.md"]
